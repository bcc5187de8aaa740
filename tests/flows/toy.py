"""A stage of the toy project: python toy.py NAME SEED PAUSE writes what dvc.yaml says, in several steps.

It is rude on purpose: it writes in place and in pieces, so that a kill in the middle leaves a mess.
"""

import sys
import time
from pathlib import Path

name, seed, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
READS = {"fetch": [], "left": ["raw"], "right": ["raw"], "join": ["left.txt", "right"]}
WRITES = {
    "fetch": ["raw/1.txt", "raw/2.txt", "origin.json"],
    "left": ["left.txt"],
    "right": ["right/1.txt", "right/2.txt"],
    "join": ["joined.txt", "metrics.json"],
}


def text_of(path: Path) -> str:
    return "".join(each.read_text() for each in (sorted(path.iterdir()) if path.is_dir() else [path]))


seen = "".join(text_of(Path(each)) for each in READS[name])
for step, path in enumerate(map(Path, WRITES[name])):
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        file.write("{")
        file.flush()
        time.sleep(pause / len(WRITES[name]))
        print(f"{name}: {100 * (step + 1) // len(WRITES[name])}%|###| at some speed", file=sys.stderr)
        file.write(f'"{name}": {len(seen) + sum(map(ord, seen)) + int(seed) + step}}}\n')
print(f"{name} is done")
