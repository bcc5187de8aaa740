"""Everything that is suspected of a data set's images, as one table: audit.csv."""

import numpy as np
import pandas as pd

from pets.audit.decisions import KEEP
from pets.audit.duplicates import groups
from pets.audit.labels import Opinions
from pets.audit.quality import KINDS
from pets.galleries.figures import percent

OUTLIERS = 100  # listed, of all images
COLUMNS = [
    "kind", "score", "image_id", "split", "label", "other", "other_split", "other_label", "detail", "verdict",
]  # fmt: skip
WRONG = 0.5  # of a label's score, from which it counts as wrong for the metrics without such images
DUPLICATE, SCENE, LABEL, OUTLIER = "duplicate", "same scene", "label", "outlier"


def suspects(
    images: pd.DataFrame,
    pairs: pd.DataFrame,
    opinions: Opinions,
    classes: list[str],
    isolation: np.ndarray,
    measures: pd.DataFrame,
    decisions: pd.DataFrame,
) -> pd.DataFrame:
    """A row for each suspicion, kind by kind, the highest score first; see ``COLUMNS``.

    ``images``: image_id, split, label, sha256 of n images; ``pairs`` by `pets.audit.duplicates`; ``opinions``
    of their labels, by ``classes``; ``isolation`` [n], how far an image is from those nearest to it, 0 to 2;
    ``measures`` by `pets.audit.pictures`; ``decisions`` of a person, whose verdict is given.
    """
    tables = [_pairs(images, pairs), _labels(images, opinions, classes)]
    furthest = np.argsort(-isolation, kind="stable")[:OUTLIERS]
    tables.append(images.iloc[furthest].assign(kind=OUTLIER, score=isolation[furthest]))
    for name, kind in KINDS.items():
        scores = kind.scores(measures)
        detail = [kind.text.format(value) for value in measures[kind.measure]]
        rows = images.assign(kind=name, score=scores.to_numpy(), detail=detail)
        tables.append(rows[rows["score"].notna()].sort_values("score", ascending=False, kind="stable"))
    table = pd.concat(tables, ignore_index=True)
    of_image = dict(zip(decisions["image"], decisions["verdict"], strict=True))
    verdict = table["image_id"].map(of_image)
    # A pair is kept where both images are.
    verdict = verdict.where(table["other"].isna() | (verdict == table["other"].map(of_image)))
    return table.assign(score=table["score"].astype(float), verdict=verdict)[COLUMNS]


def leaked(table: pd.DataFrame) -> set[str]:
    """Test images that are duplicates of a training or validation image, but pairs that were kept.

    Duplicates of duplicates count, too.
    """
    pairs = table[(table["kind"] == DUPLICATE) & (table["verdict"] != KEEP)]
    other = pairs[["other", "other_split"]].set_axis(["image_id", "split"], axis=1)
    ends = pd.concat([pairs[["image_id", "split"]], other])  # all first images, then all second ones
    image, names = pd.factorize(ends["image_id"])
    group = groups(len(names), image.reshape(2, -1).T)[image]
    seen = np.isin(group, group[ends["split"] != "test"])
    return {*ends.loc[(ends["split"] == "test").to_numpy() & seen, "image_id"]}


def mislabelled(table: pd.DataFrame) -> set[str]:
    """Images whose label is probably wrong, the score at least ``WRONG``, but those that were kept."""
    wrong = (table["kind"] == LABEL) & (table["score"] >= WRONG) & (table["verdict"] != KEEP)
    return {*table.loc[wrong, "image_id"]}


def _pairs(images: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Duplicates, and then scenes; of a pair the test image first. Equal bytes are said to be so."""
    swapped = (
        (images["split"].eq("test").to_numpy()[pairs["other"]])
        & (images["split"].ne("test").to_numpy()[pairs["one"]])
    )
    one = images.iloc[np.where(swapped, pairs["other"], pairs["one"])].reset_index(drop=True)
    other = images.iloc[np.where(swapped, pairs["one"], pairs["other"])].reset_index(drop=True)
    same = one["sha256"].eq(other["sha256"])
    table = one.assign(
        kind=pairs["kind"],
        score=pairs["score"],
        other=other["image_id"],
        other_split=other["split"],
        other_label=other["label"],
        detail=pairs["detail"].where(~same, "the same file"),
    )
    return table.sort_values(["kind", "score"], ascending=[True, False], kind="stable")


def _labels(images: pd.DataFrame, opinions: Opinions, classes: list[str]) -> pd.DataFrame:
    """``other_label`` is the label that the image more probably has."""
    rows = np.argsort(-opinions.scores, kind="stable")
    rows = rows[opinions.scores[rows] > 0]
    probability = opinions.probabilities[rows, opinions.other[rows]]
    return images.iloc[rows].assign(
        kind=LABEL,
        score=opinions.scores[rows],
        other_label=np.array(classes, dtype=object)[opinions.other[rows]],
        detail=[percent(value) for value in probability],
    )
