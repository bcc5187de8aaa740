"""Record the code that a backbone is made of, with its checksums.

What depends on a backbone depends on this record, so that an edit re-runs only what uses it; and embed on the
record's folder, in which `finetune` writes weights: a backbone that is not fine-tuned has a record alone.
"""

from pathlib import Path

from pets.backbones import module_of
from pets.core.files import checksum, write_json
from pets.core.imports import ROOT, files_of
from pets.core.names import frozen_twin, parts
from pets.core.stage import run_stage


def main(backbone: str) -> None:
    """Write backbones/<backbone>/code.json: the sha256 of each file."""
    names = [*parts(backbone), *filter(None, [frozen_twin(backbone)])]
    files = files_of("pets.backbones.build", *map(module_of, names))
    write_json(
        Path("backbones", backbone, "code.json"), {file.as_posix(): checksum(ROOT / file) for file in files}
    )


if __name__ == "__main__":
    run_stage(main)
