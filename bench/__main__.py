"""`make bench`: every comparison, as a table of ratios; `python -m bench linear` runs only that one."""

import importlib
import sys

ALL = (
    "embedding", "int8", "growth", "store", "neighbours", "linear", "tricks", "finetune", "attack",
    "serving", "flow", "pipeline",
)  # fmt: skip


def main(names: list[str]) -> None:
    print(f"{'what':44} {'ours':>12} {'instead':>12} {'ratio':>8}")
    for name in names:
        importlib.import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:] or list(ALL))
