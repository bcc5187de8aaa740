"""The files that a source or backbone is made of, compared with the imports that grimp finds."""

from pathlib import Path

import grimp
import pytest

from pets.backbones import module_of
from pets.core import names
from pets.core.imports import ROOT, files_of

SOURCES = [f"pets.sources.{name.replace('-', '_')}" for name in names.sources()]
BACKBONES = sorted({module_of(name) for name in names.backbones()})


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("pets", cache_dir=None)


def files_by_grimp(graph: grimp.ImportGraph, *modules: str) -> set[Path]:
    """The modules' files and those that they import from their package, with the packages around them."""
    package = ".".join(modules[0].split(".")[:2])
    inside = {name for name in graph.modules if f"{name}.".startswith(f"{package}.")}
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        name = waiting.pop()
        if name in inside and name not in found:
            found.add(name)
            waiting |= {*graph.find_modules_directly_imported_by(name), name.rpartition(".")[0]}
    paths = [Path(*name.split(".")) for name in found]
    return {path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py") for path in paths}


@pytest.mark.parametrize("module", SOURCES)
def test_files_of_every_source(module: str, graph: grimp.ImportGraph) -> None:
    assert set(files_of(module)) == files_by_grimp(graph, module)


@pytest.mark.parametrize("module", BACKBONES)
def test_files_of_every_backbone(module: str, graph: grimp.ImportGraph) -> None:
    modules = (module, "pets.backbones.build")
    assert set(files_of(*modules)) == files_by_grimp(graph, *modules)


def test_a_module_has_its_own_files_only() -> None:
    oxford, sample = files_of("pets.sources.oxford_iiit_pet"), files_of("pets.sources.sample")
    sources = Path("pets/sources")
    assert sources / "__init__.py" in oxford
    assert sources / "archives/unpacking.py" in oxford  # imported by a subpackage
    assert set(oxford) & set(sample) == {
        sources / name for name in ("__init__.py", "annotations/__init__.py")
    }
    assert sources / "synthetic_pets/drawing.py" in sample
    assert sources / "synthetic_pets/drawing.py" not in oxford
    assert not any("torchvision" in file.name for file in files_of("pets.backbones.efficientnet_lite"))


def test_every_way_to_import_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pets" / "sources"
    files = {
        "__init__.py": "from pets.sources import always\n",
        "always.py": "",
        "one.py": "import pets.sources.two\nfrom pets.core import files\nimport pathlib\n",
        "two.py": "def late() -> None:\n    from pets.sources import three, absent\n",
        "three.py": "from pets.sources.four.five import six\nfrom pets.sources import one\n",
        "four/__init__.py": "",
        "four/five.py": "six = 6\n",
        "unused.py": "from pets.sources import one\n",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr("pets.core.imports.ROOT", tmp_path)
    expected = sorted(Path("pets/sources", name) for name in files if name != "unused.py")
    assert files_of("pets.sources.one") == expected
