"""One data set on disk: where its files lie, and what is read of them.

data/<data set>/
  raw/                   pictures and labels in the source's official layout, or where they are read instead
  origin.json            which source and archives they came from
  catalog.parquet        a row an image; catalog.json is its summary
  splits.parquet         train, validation or test for each usable image
  embeddings/<backbone>  see `pets.embeddings.store`; the name of a backbone of timm is a folder and one in it
  .<backbone>.finetuning what `finetune` has done so far, until it is done
backbones/<backbone>     code.json; for a fine-tuned one, a folder for each data set, with its weights
models/<data set>/<backbone>/<head>
evaluations/<data set>/<backbone>/<head>
curves/<data set>/<backbone>/<head>.csv
unknown/<data set>/<backbone>/<head>
tricks/<data set>/<backbone>
exports/<data set>/<backbone>/<head>
suspects/<data set>/<backbone>
without_suspects/<data set>/<backbone>/<head>.csv
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pets.core.files import read_json
from pets.core.names import FINETUNED, parts

OK = "ok"  # the catalog's status of an image that can be used


@dataclass(frozen=True)
class Dataset:
    """The data set of that ``name``, in the working folder."""

    name: str

    @property
    def folder(self) -> Path:
        """Where all of it lies but models and evaluations."""
        return Path("data", self.name)

    @property
    def raw(self) -> Path:
        """What was fetched. The catalog's paths are relative to it or absolute: ``raw / path`` takes both."""
        return self.folder / "raw"

    def embeddings(self, backbone: str) -> Path:
        """The folder of a backbone's embeddings."""
        return self.folder / "embeddings" / backbone

    def stores(self, backbone: str) -> dict[str, Path]:
        """The folder of each part's vectors, by its name; of a backbone that joins none, its own."""
        folder, names = self.embeddings(backbone), parts(backbone)
        return {name: folder / name for name in names} if len(names) > 1 else {backbone: folder}

    def finetuned(self, backbone: str) -> Path:
        """The folder of a backbone's weights that were fine-tuned on this data set."""
        return Path("backbones", f"{backbone}{FINETUNED}", self.name)

    def model(self, backbone: str, head: str) -> Path:
        """The folder of a fitted head."""
        return Path("models", self.name, backbone, head)

    def evaluation(self, backbone: str, head: str) -> Path:
        """The folder of a head's evaluation."""
        return Path("evaluations", self.name, backbone, head)

    def curve(self, backbone: str, head: str) -> Path:
        """The table of a head's learning curve."""
        return Path("curves", self.name, backbone, f"{head}.csv")

    def unknown(self, backbone: str, head: str) -> Path:
        """The folder of how well a head's model tells unknown pictures."""
        return Path("unknown", self.name, backbone, head)

    def tricks(self, backbone: str) -> Path:
        """The folder of the training tricks measured on a backbone's features."""
        return Path("tricks", self.name, backbone)

    def export(self, backbone: str, head: str) -> Path:
        """The folder of a model as one file."""
        return Path("exports", self.name, backbone, head)

    def suspects(self, backbone: str) -> Path:
        """The folder of what is suspected of the data set's images, as a backbone sees them."""
        return Path("suspects", self.name, backbone)

    def without_suspects(self, backbone: str, head: str) -> Path:
        """The table of a head's metrics without suspected images."""
        return Path("without_suspects", self.name, backbone, f"{head}.csv")

    def origin(self) -> dict[str, Any]:
        """source, label_name, synthetic, from_imagenet and archives: what `download` noted."""
        content: dict[str, Any] = read_json(self.folder / "origin.json")
        return content

    def described(self) -> str:
        """The name, and that its pictures are synthetic where they are."""
        return f"{self.name}{' (synthetic pets, not photographs)' if self.origin()['synthetic'] else ''}"

    def catalog(self, *columns: str) -> pd.DataFrame:
        """The catalog, or some of its columns; a row an image, sorted by image_id."""
        return pd.read_parquet(self.folder / "catalog.parquet", columns=list(columns) or None)

    def usable(self) -> pd.DataFrame:
        """The catalog's images that can be used."""
        catalog = self.catalog()
        return catalog[catalog["status"] == OK].reset_index(drop=True)

    def splits(self) -> pd.DataFrame:
        """image_id, label, species and split ("train", "val" or "test") of each usable image."""
        return pd.read_parquet(self.folder / "splits.parquet")

    def embeddings_metadata(self, backbone: str) -> dict[str, Any]:
        """How a backbone's embeddings were made (see `pets.embeddings.store`)."""
        content: dict[str, Any] = read_json(self.embeddings(backbone) / "metadata.json")
        return content

    def images(self) -> dict[str, Any]:
        """The catalog's summary, the number of images in each split, and which are in test and train."""
        splits = self.splits().merge(self.catalog("image_id", "sha256"), on="image_id")
        repeated = splits[splits.duplicated("sha256", keep=False)].groupby("sha256", sort=False)
        across = [group for _, group in repeated if group["split"].eq("test").nunique() > 1]
        return {
            **read_json(self.folder / "catalog.json"),
            **{name: int(splits["split"].eq(name).sum()) for name in ("train", "val", "test")},
            "duplicates_across_splits": sorted(sorted(group["image_id"]) for group in across),
        }

    def shuffled(self, split: str, seed: int) -> pd.DataFrame:
        """A split's images, image_id, label, species, split and path, in an order drawn by the seed."""
        splits = self.splits()
        images = splits[splits["split"] == split]
        images = images.merge(self.catalog("image_id", "path"), on="image_id", validate="one_to_one")
        return images.sort_values("image_id").sample(frac=1, random_state=seed).reset_index(drop=True)


def file_stem(image_id: str) -> str:
    """A file's name for an image: its image_id where that is one, else its plain letters and a checksum."""
    if re.fullmatch(r"[\w-][\w .-]{0,99}", image_id, re.ASCII):
        return image_id
    plain = re.sub(r"[^\w-]+", "_", image_id, flags=re.ASCII)[-60:]
    return f"{plain}-{hashlib.sha256(image_id.encode()).hexdigest()[:8]}"


def species_of(rows: pd.DataFrame, classes: Sequence[str]) -> pd.Series:
    """The species of each of ``classes``, by class, from rows with label and species; or missing."""
    return rows.drop_duplicates("label").set_index("label")["species"].reindex(list(classes))
