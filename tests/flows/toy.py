"""A stage of the toy project: python toy.py NAME SEED writes what dvc.yaml says, in several steps.

Unlike a real stage it writes in place and in pieces, so that a kill in the middle leaves incomplete outputs.
It takes as many seconds as the file `pause` says and, in the middle of its first output, waits as long as
there is a file `hold-NAME`.
"""

import sys
import time
from pathlib import Path

name, seed = sys.argv[1:]
READS = {"fetch": [], "left": ["raw"], "right": ["raw"], "join": ["left.txt", "right"]}
WRITES = {
    "fetch": ["raw/1.txt", "raw/2.txt", "origin.json"],
    "left": ["left.txt"],
    "right": ["right/1.txt", "right/2.txt"],
    "join": ["joined.txt", "metrics.json"],
}


def text_of(path: Path) -> str:
    return "".join(each.read_text() for each in (sorted(path.iterdir()) if path.is_dir() else [path]))


pause = float(Path("pause").read_text())
seen = "".join(text_of(Path(each)) for each in READS[name])
for step, path in enumerate(map(Path, WRITES[name])):
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        file.write("{")
        file.flush()
        time.sleep(pause / len(WRITES[name]))
        while Path(f"hold-{name}").exists():
            time.sleep(0.02)
        print(f"{name}: {100 * (step + 1) // len(WRITES[name])}%|###| at some speed", file=sys.stderr)
        number = len(seen) + sum(map(ord, seen)) + int(seed) + (0 if name == "join" else step)
        file.write(f'"{name}": {number}}}\n')
print(f"{name} is done")
