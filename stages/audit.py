"""Look for what is wrong with a data set's images: duplicates, labels, outliers, bad pictures."""

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt
from torch.nn import functional

from pets.audit import duplicates, gallery
from pets.audit.decisions import KEEP, read_decisions
from pets.audit.kinds import DUPLICATE
from pets.audit.labels import opinions
from pets.audit.neighbours import nearest
from pets.audit.pictures import look_at
from pets.audit.suspects import suspects
from pets.classifier.examples import classes_of
from pets.core import params
from pets.core.files import atomic
from pets.core.params import Section
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.embeddings.features import features_of
from pets.galleries import figures
from pets.heads import linear

NEIGHBOURS = 10  # of an image, whose mean distance says how much of an outlier it is


class Settings(Section):
    """The section ``audit`` of params.yaml."""

    pairs: PositiveInt
    shown: PositiveInt
    penalties: list[float] = Field(min_length=1)


def main(dataset: str, backbone: str) -> None:
    """Write suspects/<dataset>/<backbone>: audit.csv and contact sheets."""
    settings = params.read("audit", Settings)
    seed = params.read("seed", int)
    data = Dataset(dataset)
    images = data.splits().merge(
        data.catalog("image_id", "path", "sha256"), on="image_id", validate="one_to_one"
    )
    classes = classes_of(data)
    labels = pd.Categorical(images["label"], categories=classes).codes.astype(np.int64)
    features = features_of(data, backbone, images["image_id"])

    scaled = linear.scaled(features)
    cosines, others = nearest(functional.normalize(scaled - scaled.mean(0)).numpy(), NEIGHBOURS)
    proposed = duplicates.proposed(cosines, others, settings.pairs)
    measures, keypoints = look_at(images, data.raw, set(proposed.ravel().tolist()))
    pairs = duplicates.with_the_same_bytes(images["sha256"], duplicates.confirmed(proposed, keypoints))
    copies = pairs.loc[pairs["kind"] == DUPLICATE, ["one", "other"]].to_numpy()
    together = duplicates.groups(len(images), copies)
    found = opinions(features, labels, together, settings.penalties, seed)
    table = suspects(
        images, pairs, found, classes, 1 - np.nanmean(cosines, axis=1), measures, read_decisions(dataset)
    )  # fmt: skip

    with atomic(data.suspects(backbone)) as folder:
        folder.mkdir()
        table.to_csv(folder / "audit.csv", index=False, lineterminator="\n", float_format="%.4f")
        paths = images.set_index("image_id")["path"]
        figures.write(folder, gallery.figures(table, paths, data.raw, settings.shown))
    print(table.loc[table["verdict"] != KEEP, "kind"].value_counts(sort=False).to_string())


if __name__ == "__main__":
    run_stage(main)
