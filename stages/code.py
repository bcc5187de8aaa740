"""Record the code that each data set's source is made of, with its checksums.

params.yaml says which source a data set has, and dvc.yaml cannot look that up. So it depends on these records
instead: an edit of one source changes only its own record, and re-runs only the stages that use it. The
record of a data set that is read from a folder has the folder's listing, too.
"""

from pathlib import Path
from typing import Any

from pets.core import names, params
from pets.core.errors import UserError
from pets.core.files import atomic, checksum, write_json
from pets.core.imports import ROOT, files_of
from pets.core.stage import run_stage


def main() -> None:
    """Write code/sources/<data set>.json: the sha256 of each file."""
    datasets = params.read("run.datasets", list[str])
    folders = params.read("folders", list[str])
    entries = params.read("datasets", dict[str, dict[str, Any]])
    modules = {}
    if (wanted := params.folders({"run": {"datasets": datasets}, "datasets": entries})) != folders:
        raise UserError(
            f"params.yaml: folders has to be {wanted}, the data sets of the run with a path, so that DVC "
            "notices what changes there; `python -m stages.params` makes it so."
        )
    listings = {f"sources/{name}": [f"listings/{name}.json"] for name in folders}
    for name in datasets:
        names.check_dataset(name)
        source = str(entries[name].get("source", ""))
        params.check_names(f"datasets.{name}.source", "sources", [source])
        modules[f"sources/{name}"] = [f"pets.sources.{source.replace('-', '_')}"]
    with atomic(Path("code")) as folder:
        for name, used in modules.items():
            record = {file.as_posix(): checksum(ROOT / file) for file in files_of(*used)}
            record |= {file: checksum(Path(file)) for file in listings.get(name, [])}
            write_json(folder / f"{name}.json", record)


if __name__ == "__main__":
    run_stage(main)
