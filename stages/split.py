"""Assign each usable image to train, validation or test."""

import hashlib

import pandas as pd
from pydantic import Field

from pets.core import params
from pets.core.errors import UserError
from pets.core.files import atomic
from pets.core.params import Section
from pets.core.stage import run_stage
from pets.dataset import Dataset


class Settings(Section):
    """The section ``split`` of params.yaml."""

    validation: float = Field(gt=0, lt=1)  # share of the training images
    test: float = Field(gt=0, lt=1)  # share of all images, where the source has no test set of its own


def main(dataset: str) -> None:
    """Write splits.parquet: image_id, label, species, split. An official test set stays the test set."""
    settings = params.read("split", Settings)
    seed = params.read("seed", int)
    data = Dataset(dataset)
    usable = data.usable()
    table = usable[["image_id", "label", "species"]].copy()
    official = usable["official_split"]
    if official.isna().all():
        table["split"] = stratified(table, settings.test, seed, part="test", rest="train")
    else:
        table["split"] = official
    learning = table[table["split"] == "train"]
    parts = stratified(learning, settings.validation, seed, part="val", rest="train")
    table.loc[learning.index, "split"] = parts
    _check(table)
    with atomic(data.folder / "splits.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    print(", ".join(f"{count} {name}" for name, count in table["split"].value_counts().items()))


def stratified(table: pd.DataFrame, share: float, seed: int, part: str, rest: str) -> pd.Series:
    """Put the same share of every label into ``part``, at least one image, and the others into ``rest``.

    The part of an image depends on the seed and its own id alone, so that one more photo moves hardly any
    other. Returns a string for each row of ``table``, by its index.
    """
    order = table["image_id"].map(lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())
    rank = order.groupby(table["label"]).rank(method="first")
    size = table.groupby("label")["image_id"].transform("size")
    wanted = (size * share).round().clip(lower=1)
    return pd.Series(rest, index=table.index).mask(rank <= wanted, part)


def _check(table: pd.DataFrame) -> None:
    counts = pd.crosstab(table["label"], table["split"]).reindex(
        columns=["train", "val", "test"], fill_value=0
    )
    short = counts[(counts < 1).any(axis=1)]
    if len(short):
        label, row = short.index[0], short.iloc[0]
        more = f" (and {len(short) - 1} more classes)" if len(short) > 1 else ""
        raise UserError(
            f"'{label}'{more} has too few images to split: {row['train']} for training, {row['val']} for "
            f"validation and {row['test']} for testing, each needs one. Add images or leave the class out."
        )


if __name__ == "__main__":
    run_stage(main)
