"""Say of each usable picture whether it trains, validates or tests."""

import hashlib
from pathlib import Path

import pandas as pd
from pydantic import Field

from stages import params
from stages.door import open_door
from stages.errors import UserError
from stages.files import whole
from stages.params import Section


class Settings(Section):
    """The section ``split`` of params.yaml."""

    validation: float = Field(gt=0, lt=1)  # share of the training pictures
    test: float = Field(gt=0, lt=1)  # share of all pictures, where the source has no test set of its own


def main(dataset: str) -> None:
    """Write splits.parquet: image_id, label, species, split. An official test set stays the test set."""
    settings = params.read("split", Settings)
    seed = params.read("seed", int)
    folder = Path("data", dataset)
    catalog = pd.read_parquet(folder / "catalog.parquet")
    usable = catalog[catalog["status"] == "ok"].reset_index(drop=True)
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
    with whole(folder / "splits.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    print(", ".join(f"{count} {name}" for name, count in table["split"].value_counts().items()))


def stratified(table: pd.DataFrame, share: float, seed: int, part: str, rest: str) -> pd.Series:
    """Put the same share of every label into ``part``, at least one image, and the others into ``rest``.

    Who goes where hangs on the seed and the image's own id alone, so that one more photo moves hardly any
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
            f"'{label}'{more} has too few images to split: {row['train']} to train, {row['val']} to validate "
            f"and {row['test']} to test, where each needs one. Add images or leave the class out."
        )


if __name__ == "__main__":
    open_door(main)
