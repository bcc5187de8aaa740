"""The command line of `python -m flows.predict`, without PyTorch, so that --help doesn't wait for it."""

import argparse
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """photos, model and to."""
    found = argparse.ArgumentParser(
        prog="python -m flows.predict",
        description="Name the class of every picture in files, folders and archives, by a trained model.",
    )
    found.add_argument("photos", nargs="+", type=Path, metavar="PHOTOS", help="files, folders, archives")
    found.add_argument(
        "--model", metavar="DATASET/BACKBONE/HEAD",
        help="a folder in models/; by default the one that did best on its validation images",
    )  # fmt: skip
    found.add_argument(
        "--to", type=Path, default=Path("predictions"), metavar="FOLDER",
        help="where index.html, predictions.csv and predictions.parquet go (%(default)s); a picture that was "
        "embedded there before is not embedded again",
    )  # fmt: skip
    return found
