"""dvc.yaml's deps and params are derived from the code: what a stage imports, and what it reads."""

import ast
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("stages", cache_dir=None)


def modules_of(graph: grimp.ImportGraph, door: str) -> set[str]:
    """A door, all that it imports inside stages/, direct or not, and the packages that these lie in."""
    found = {door, *graph.find_upstream_modules(door)}
    for module in tuple(found):  # importing a.b.c runs a and a.b, and what these import
        parts = module.split(".")
        for end in range(1, len(parts)):
            package = ".".join(parts[:end])
            found |= {package, *graph.find_upstream_modules(package)}
    return found


def file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def code_deps(graph: grimp.ImportGraph, stage: str) -> set[str]:
    """The files that a stage's code is made of, templates and styles beside a module included."""
    files = {file_of(module) for module in modules_of(graph, f"stages.{stage}")}
    rooms = {file.parent for file in files}
    files |= {file for room in rooms for file in room.iterdir() if file.suffix in {".j2", ".css", ".js"}}
    return {file.relative_to(ROOT).as_posix() for file in files}


def param_keys(graph: grimp.ImportGraph, stage: str) -> set[str]:
    """The keys that a stage asks of `params.read`, the door's arguments written as DVC's items."""
    keys = set()
    for module in modules_of(graph, f"stages.{stage}"):
        for node in ast.walk(ast.parse(file_of(module).read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "params.read":
                keys.add(as_item(node.args[0]))
    return keys


def as_item(key: ast.expr) -> str:
    if isinstance(key, ast.Constant):
        return str(key.value)
    assert isinstance(key, ast.JoinedStr), (
        "a key of params.read is a string or an f-string, to be readable here"
    )
    return "".join(
        f"${{item.{ast.unparse(part.value)}}}" if isinstance(part, ast.FormattedValue) else str(part.value)
        for part in key.values
        if isinstance(part, ast.FormattedValue | ast.Constant)
    )


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_what_the_stage_imports(imports: grimp.ImportGraph, stage: str) -> None:
    declared = {each for each in STAGES[stage]["deps"] if each.startswith("stages/")}
    expected = code_deps(imports, stage)
    assert declared == expected, f"{stage}: deps should be\n" + "\n".join(
        f"    - {each}" for each in sorted(expected)
    )


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_what_the_stage_reads(imports: grimp.ImportGraph, stage: str) -> None:
    assert set(STAGES[stage].get("params", [])) == param_keys(imports, stage)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_runs_the_door_of_its_name(stage: str) -> None:
    entry = STAGES[stage]
    words = [f"${{item.{name}}}" for name in entry.get("matrix", {})]
    assert entry["cmd"].split() == ["python", "-m", f"stages.{stage}", *words]


def test_a_missed_import_would_be_seen(imports: grimp.ImportGraph) -> None:
    """The derivation itself: embed needs its rooms but no head, and the template belongs to the report."""
    embed, report = code_deps(imports, "embed"), code_deps(imports, "report")
    assert {"stages/__init__.py", "stages/images/decoding.py", "stages/heads/__init__.py"} <= embed
    assert not any(each.startswith("stages/heads/l") for each in embed)
    assert "stages/pictures/page.html.j2" in report
