"""Everything that is suspected of a data set's images, as one table: audit.csv."""

import numpy as np
import pandas as pd

from pets.audit.kinds import LABEL, OUTLIER
from pets.audit.labels import Opinions
from pets.audit.quality import KINDS
from pets.galleries.figures import percent

OUTLIERS = 100  # listed, of all images
COLUMNS = [
    "kind", "score", "image_id", "split", "label", "other", "other_split", "other_label", "detail", "verdict",
]  # fmt: skip


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
    rows = rows[opinions.scores[rows] > 0.5]
    probability = opinions.probabilities[rows, opinions.other[rows]]
    return images.iloc[rows].assign(
        kind=LABEL,
        score=opinions.scores[rows],
        other_label=np.array(classes, dtype=object)[opinions.other[rows]],
        detail=[percent(value) for value in probability],
    )
