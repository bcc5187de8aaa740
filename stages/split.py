"""Assign each usable image to train, validation or test."""

import hashlib

import pandas as pd
from pydantic import Field

from pets.audit.decisions import decided, read_decisions
from pets.core import params
from pets.core.errors import UserError
from pets.core.files import atomic
from pets.core.params import Section
from pets.core.stage import run_stage
from pets.dataset import Dataset


class Settings(Section):
    """The section ``split`` of params.yaml."""

    validation: float = Field(gt=0, lt=1)  # share of the training images
    test: float = Field(gt=0, lt=1)  # share of the training images, where the source has no test set


def main(dataset: str) -> None:
    """Write splits.parquet: image_id, label, species, split. Official validation and test sets stay so.

    What a person decided about single images comes last, so that all others keep their split.
    """
    settings = params.read("split", Settings)
    seed = params.read("seed", int)
    data = Dataset(dataset)
    usable = data.usable()
    table = usable[["image_id", "label", "species"]].copy()
    table["same"] = usable.groupby("sha256")["image_id"].transform("min")
    table["split"] = usable["official_split"].fillna("train")
    for part, share in (("test", settings.test), ("val", settings.validation)):
        if not table["split"].eq(part).any():
            train = table[table["split"] == "train"]
            table.loc[train.index, "split"] = stratified(train, share, seed, part, rest="train")
    table = decided(dataset, table).drop(columns="same")
    _check(table)
    if decisions := len(read_decisions(dataset)):
        print(f"{decisions} decisions of audits/{dataset}.csv")
    with atomic(data.folder / "splits.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    print(", ".join(f"{count} {name}" for name, count in table["split"].value_counts().items()))


def stratified(table: pd.DataFrame, share: float, seed: int, part: str, rest: str) -> pd.Series:
    """Put the same share of every label into ``part``, at least one image, and the others into ``rest``.

    The part of an image depends on the seed and its own id alone, so that one more photo moves hardly any
    other; images of a label that have the same bytes, and so an equal ``same``, stay together. Returns a
    string for each row of ``table``, by its index.
    """
    order = table["same"].map(lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())
    rank = order.groupby(table["label"]).rank(method="min")
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
        others = [f"'{each}'" for each in short.index[1:6]] + (["..."] if len(short) > 6 else [])
        more = f" The same goes for {', '.join(others)}." if others else ""
        raise UserError(
            f"'{label}' has too few images to split: {row['train']} for training, {row['val']} for "
            f"validation and {row['test']} for testing, each needs one.{more} Add images or leave the class "
            "out (by `without`, in the entry of a folder of pictures)."
        )


if __name__ == "__main__":
    run_stage(main)
