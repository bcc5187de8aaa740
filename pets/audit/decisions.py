"""What a person decided about single images: audits/<data set>.csv, in git, honoured by `split`.

A row is an image, its verdict and, where it is relabelled, its label; who decided, and why. A correction is
so a commit, and a comparison of two commits shows what it changed. The verdict ``keep`` says that an image
was looked at and is right: `audit` counts it as suspicious no more.
"""

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd

from pets.core.errors import UserError, nearest
from pets.dataset import species_of

FOLDER = Path("audits")
COLUMNS = ["image", "verdict", "label", "who", "why"]
KEEP, DROP, RELABEL = VERDICTS = ("keep", "drop", "relabel")


def read_decisions(dataset: str) -> pd.DataFrame:
    """Strings in the columns ``COLUMNS``; no row where there is no file.

    Raises UserError where the file has other columns, another verdict, or decides twice about an image.
    """
    file = FOLDER / f"{dataset}.csv"
    if not file.exists():
        return pd.DataFrame(columns=COLUMNS, dtype=str)
    try:
        text = file.read_text("utf-8-sig")  # spreadsheets write a byte order mark
        lines = [fields for fields in csv.reader(io.StringIO(text, newline=""), strict=True) if fields]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} can't be read ({error}).") from None
    if lines[:1] != [COLUMNS]:
        raise UserError(f"{file} has to begin with the line {','.join(COLUMNS)}.")
    for fields in lines[1:]:
        where = f"{file}, {','.join(fields)!r}:"
        if len(fields) != len(COLUMNS):
            raise UserError(f"{where} {len(fields)} fields, not {len(COLUMNS)}; write commas within quotes.")
        _, verdict, label, *_ = fields
        if verdict not in VERDICTS:
            raise UserError(f"{where} the verdict is {verdict!r}; it is one of {', '.join(VERDICTS)}.")
        if bool(label) != (verdict == RELABEL):
            raise UserError(f"{where} a label belongs to the verdict relabel, and to no other.")
    table = pd.DataFrame(lines[1:], columns=COLUMNS, dtype=str)
    if (twice := table[table["image"].duplicated()]["image"]).any():
        raise UserError(f"{file} decides more than once about {twice.iloc[0]!r}; keep one line.")
    return table


def decided(dataset: str, images: pd.DataFrame) -> pd.DataFrame:
    """``images`` (image_id, label, species, ...), those dropped left out and the others with their new label.

    No other row changes. Raises UserError for an image or a label that the data set does not have.
    """
    decisions = read_decisions(dataset)
    if decisions.empty:
        return images
    file, known, labels = FOLDER / f"{dataset}.csv", set(images["image_id"]), set(images["label"])
    rows: list[Any] = list(decisions.itertuples())
    for row in rows:
        if row.image not in known:
            raise UserError(f"{file}: {row.image!r} is no image of {dataset} that can be used.")
        if row.verdict == RELABEL and row.label not in labels:
            raise UserError(f"{file}: {row.label!r} is no label of {dataset}; {nearest(row.label, labels)}")
    dropped = decisions.loc[decisions["verdict"] == DROP, "image"]
    relabelled = decisions[decisions["verdict"] == RELABEL].set_index("image")["label"]
    species = species_of(images, sorted(labels))
    new = images["image_id"].map(relabelled)
    images = images.assign(
        label=new.where(new.notna(), images["label"]),
        species=new.map(species).where(new.notna(), images["species"]),
    ).astype(images.dtypes)  # else the file would differ, and every later stage run, where no image does
    left = images[~images["image_id"].isin(dropped)]
    if gone := sorted(labels - set(left["label"])):
        raise UserError(f"{file} leaves no image of {gone[0]!r}; keep some of it.")
    return left
