"""Record the code that each data set's source and each backbone is made of, with its checksums.

params.yaml says which source a data set has, and dvc.yaml cannot look that up. So it depends on these records
instead: an edit of one source or backbone changes only its own record, and re-runs only the stages that use
it.
"""

from pathlib import Path
from typing import Any

from pets.backbones import module_of
from pets.core import params
from pets.core.files import atomic, checksum, write_json
from pets.core.imports import ROOT, files_of
from pets.core.stage import run_stage


def main() -> None:
    """Write code/sources/<data set>.json and code/backbones/<backbone>.json: the sha256 of each file."""
    datasets = params.read("run.datasets", list[str])
    backbones = params.read("run.backbones", list[str])
    entries = params.read("datasets", dict[str, dict[str, Any]])
    modules = {f"backbones/{name}": [module_of(name), "pets.backbones.build"] for name in backbones}
    for name in datasets:
        source = str(entries[name].get("source", ""))
        params.check_names(f"datasets.{name}.source", "sources", [source])
        modules[f"sources/{name}"] = [f"pets.sources.{source.replace('-', '_')}"]
    with atomic(Path("code")) as folder:
        for name, used in modules.items():
            record = {file.as_posix(): checksum(ROOT / file) for file in files_of(*used)}
            write_json(folder / f"{name}.json", record)


if __name__ == "__main__":
    run_stage(main)
