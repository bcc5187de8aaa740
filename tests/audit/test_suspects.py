"""audit.csv: what is listed, what counts as leaked or mislabelled, and what a person kept."""

import numpy as np
import pandas as pd

from pets.audit.decisions import COLUMNS as DECISION
from pets.audit.duplicates import with_the_same_bytes
from pets.audit.labels import Opinions
from pets.audit.suspects import suspects
from pets.audit.without import leaked, mislabelled

IMAGES = pd.DataFrame(
    {
        "image_id": ["a", "b", "c", "d", "e", "f"],
        "split": ["train", "test", "test", "test", "val", "test"],
        "label": ["pug", "pug", "pug", "Bengal", "Bengal", "Bengal"],
        "sha256": ["1", "2", "3", "4", "5", "5"],
    }
)
PAIRS = pd.DataFrame(
    {"one": [0, 1], "other": [1, 2], "kind": "duplicate", "score": [0.9, 0.95], "detail": ["mirrored", ""]}
)
PROBABILITIES = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6], [0.9, 0.1], [0.8, 0.2]])
MEASURES = pd.DataFrame(
    1.0, index=range(6), columns=["dark_end", "bright_end", "contrast", "sharpness", "short_side", "frame"]
).assign(dark_end=0.0, frame=0.0, short_side=300.0, bright_end=[0.1, 0.2, 1, 1, 1, 1])


def table(*decisions: tuple[str, str]) -> pd.DataFrame:
    """Labels as probabilities of (Bengal, pug); d is called a pug with 0.6."""
    rows = [(image, verdict, "", "", "") for image, verdict in decisions]
    labels = np.array([1, 1, 1, 0, 0, 0])
    pairs = with_the_same_bytes(IMAGES["sha256"], PAIRS)
    opinions = Opinions(PROBABILITIES, labels, np.ones(6, bool))
    decided = pd.DataFrame(rows, columns=DECISION)
    return suspects(IMAGES, pairs, opinions, ["Bengal", "pug"], np.linspace(0, 1, 6), MEASURES, decided)


def test_kinds_come_with_the_highest_score_first() -> None:
    found = table()
    assert found.groupby("kind", sort=False)["score"].apply(lambda each: each.is_monotonic_decreasing).all()
    assert found["kind"].value_counts().to_dict() == {"outlier": 6, "duplicate": 3, "dark": 2, "label": 1}
    (label,) = found[found["kind"] == "label"].itertuples()
    assert (label.image_id, label.other_label, label.detail) == ("d", "pug", "60.0%")
    pairs = found[found["kind"] == "duplicate"]
    assert list(zip(pairs["image_id"], pairs["other"], strict=True)) == [("f", "e"), ("b", "c"), ("b", "a")]
    assert pairs["detail"].tolist() == ["the same file", "", "mirrored"]


def test_a_copy_of_a_copy_of_a_training_image_is_leaked() -> None:
    assert leaked(table()) == {"b", "c", "f"}
    assert leaked(table().iloc[:0]) == set()


def test_a_pair_is_kept_where_both_images_are() -> None:
    assert leaked(table(("a", "keep"))) == {"b", "c", "f"}
    assert leaked(table(("a", "keep"), ("b", "keep"))) == {"f"}


def test_a_label_counts_as_wrong_from_odds_of_nine_to_one() -> None:
    assert mislabelled(table()) == set()  # of d, odds of three to two
    sure = table()
    sure.loc[sure["kind"] == "label", "score"] = 0.9
    assert mislabelled(sure) == {"d"}
    kept = table(("d", "keep"))
    kept.loc[kept["kind"] == "label", "score"] = 0.9
    assert mislabelled(kept) == set()
