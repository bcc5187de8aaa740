"""dvc.yaml's deps and params are derived from the code: what a stage imports, and what it reads."""

import ast
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
# An item of `export.models` has a backbone and a head, as the items of other stages have.
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text("utf-8").replace("${item.model.", "${item."))[
    "stages"
]

# Code that cannot change an output, and why. A change of it re-runs nothing.
EXEMPT = {
    "pets": "sets how PyTorch's threads wait for each other, and how often garbage is looked for",
    "pets.core.errors": "the texts of errors",
    "pets.core.files": "writes what it is given, atomically",
    "pets.core.names": "checks that names exist",
    "pets.core.params": "reads and checks values, which DVC compares itself",
    "pets.core.progress": "progress bars",
    "pets.core.stage": "arguments, exit status and times of a stage",
}
# What is imported by name: dvc.yaml depends on the module that the stage's item names, or on its record.
BY_NAME = {
    "pets.heads": "pets/heads/${item.head}.py",
    "pets.sources": "code/sources/${item.dataset}.json",
    "pets.backbones.build": "backbones/${item.backbone}/code.json",
}
IN_RECORDS = ("pets.sources", "pets.backbones")  # packages whose files the records list
OUTSIDE_RECORDS = ("pets.backbones.imagenet", "pets.backbones.finetuned")  # imported by stages themselves
BEFORE_RECORDS = ("listing",)  # stages that the records are made from, so that they can't depend on them


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("pets", "stages", cache_dir=None)


def modules_of(graph: grimp.ImportGraph, stage: str) -> set[str]:
    """A stage's module, all that it imports of the project, directly or not, and the packages around it."""
    module = f"stages.{stage}"
    found = {module, *graph.find_upstream_modules(module)}
    for name in tuple(found):  # importing a.b.c runs a and a.b, and what these import
        parts = name.split(".")
        for end in range(1, len(parts)):
            package = ".".join(parts[:end])
            found |= {package, *graph.find_upstream_modules(package)}
    return found


def file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def is_only_a_docstring(module: str) -> bool:
    return len(ast.parse(file_of(module).read_text("utf-8")).body) <= 1


def needed(graph: grimp.ImportGraph, stage: str) -> dict[str, str]:
    """What a stage has to depend on: each path, and the module that it is there for."""
    modules = modules_of(graph, stage)
    by_name = {} if stage in BEFORE_RECORDS else dict(BY_NAME)
    if "item.head}" not in STAGES[stage]["cmd"]:
        by_name.pop("pets.heads", None)  # only what all heads share
    paths = {by_name[module]: module for module in modules if module in by_name}
    recorded = {
        package
        for package in IN_RECORDS
        if any(by_name.get(m, "").startswith((f"code/{package[5:]}", f"{package[5:]}/")) for m in modules)
    }
    for module in modules - set(EXEMPT):
        package = module.rpartition(".")[0] if module.count(".") > 1 else module
        if not is_only_a_docstring(module) and (package not in recorded or module in OUTSIDE_RECORDS):
            paths[file_of(module).relative_to(ROOT).as_posix()] = module
    return paths


def covers(dep: str, path: str) -> bool:
    return path == dep or path.startswith(f"{dep}/")


def deps_in_code(stage: str) -> set[str]:
    return {
        each for each in STAGES[stage]["deps"] if each.startswith(("pets/", "stages/", "code/", "backbones/"))
    }


def param_keys(graph: grimp.ImportGraph, stage: str) -> set[str]:
    """The keys that a stage asks of `params.read`, the stage's arguments written as DVC's items."""
    keys = set()
    for module in modules_of(graph, stage):
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
def test_deps_cover_all_that_a_stage_imports(imports: grimp.ImportGraph, stage: str) -> None:
    deps = deps_in_code(stage)
    missing = sorted(path for path in needed(imports, stage) if not any(covers(dep, path) for dep in deps))
    assert not missing, f"{stage}: deps lack\n" + "\n".join(f"    - {each}" for each in missing)


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "code"])
def test_deps_name_nothing_that_a_stage_does_not_import(imports: grimp.ImportGraph, stage: str) -> None:
    paths = needed(imports, stage)
    unused = sorted(dep for dep in deps_in_code(stage) if not any(covers(dep, path) for path in paths))
    assert not unused, f"{stage}: deps name what it does not import: {', '.join(unused)}"


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_what_the_stage_reads(imports: grimp.ImportGraph, stage: str) -> None:
    assert set(STAGES[stage].get("params", [])) == param_keys(imports, stage)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_runs_the_script_of_its_name(stage: str) -> None:
    entry = STAGES[stage]
    names = " ".join(entry.get("matrix", {})).replace("model", "backbone head").split()
    words = [f"${{item.{name}}}" for name in names]
    assert entry["cmd"].split() == ["python", "-m", f"stages.{stage}", *words]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_script_is_a_page_at_most(stage: str) -> None:
    assert len((ROOT / "stages" / f"{stage}.py").read_text("utf-8").splitlines()) <= 90


def test_only_what_a_stage_updates_persists() -> None:
    outs = [
        (stage, out)
        for stage, entry in STAGES.items()
        for kind in ("outs", "metrics", "plots")
        for out in entry.get(kind, [])
        if isinstance(out, dict) and any(options.get("persist") for options in out.values())
    ]
    assert [stage for stage, _ in outs] == ["catalog", "embed"]


def test_the_derivation_itself(imports: grimp.ImportGraph) -> None:
    """embed needs its packages and no head, training the head that its item names, catalog its source."""
    embed, train, catalog = (set(needed(imports, stage)) for stage in ("embed", "train", "catalog"))
    assert {"pets/images/decoding.py", "backbones/${item.backbone}/code.json", "stages/embed.py"} <= embed
    assert not any(each.startswith("pets/heads") for each in embed)
    assert "pets/heads/${item.head}.py" in train
    assert not any(each.endswith("linear.py") for each in train)
    assert "code/sources/${item.dataset}.json" in catalog
    assert "pets/core/progress.py" not in embed
