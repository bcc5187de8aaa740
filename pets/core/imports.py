"""The files that a module is made of: its own, and those that it imports from the same package."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def files_of(*modules: str) -> list[Path]:
    """The files of modules of one package ``pets.<package>``, relative to the project's root, sorted.

    Imports are followed inside that package, from subpackages too, as far as they go; those of other packages
    are not followed: dvc.yaml names them.
    """
    package = ".".join(modules[0].split(".")[:2])
    found: dict[str, Path] = {}
    waiting = {*modules}
    while waiting:
        name = waiting.pop()
        if name in found or not f"{name}.".startswith(f"{package}."):
            continue
        path = Path(*name.split("."))
        file = path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")
        if (ROOT / file).exists():  # else an attribute of a module
            found[name] = file
            waiting |= {name.rpartition(".")[0], *_imported(ROOT / file)}
    return sorted(found.values())


def _imported(file: Path) -> Iterator[str]:
    """The names that a file imports: modules, and what is imported from them, which may be modules."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
