"""The command line of `python -m flows.serve`, without PyTorch, so that --help doesn't wait for it."""

import argparse


def parser() -> argparse.ArgumentParser:
    """model and port."""
    found = argparse.ArgumentParser(
        prog="python -m flows.serve",
        description="A page on this machine that names the class of a photo, by a trained model; and an API.",
    )
    found.add_argument(
        "--model", metavar="DATASET/BACKBONE/HEAD",
        help="a folder in models/; by default the one that did best on its validation images",
    )  # fmt: skip
    found.add_argument("--port", type=int, default=8000, help="%(default)s; 0 for any that is free")
    return found
