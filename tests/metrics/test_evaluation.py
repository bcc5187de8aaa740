"""What is recorded of an evaluation, and how DVC prints the part of it that is in git."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pets.metrics.bootstrap import bootstrap_intervals
from pets.metrics.evaluation import Evaluation, headline, most_confident_mistakes
from pets.metrics.metrics import measure
from tests.metrics.test_metrics import case

CLASSES = ["ant", "bee", "cat", "dog", "eel", "fox"]
SPECIES = ["insect", "insect", "mammal", "mammal", "fish", "mammal"]


def evaluation(species: list[str | None], images: int = 80) -> Evaluation:
    probabilities, labels = case(images, len(CLASSES), seed=3)
    by_class = pd.Series(species, index=CLASSES)
    table = pd.DataFrame({"label": np.array(CLASSES)[labels]})
    table["image_id"] = [f"image_{i}" for i in range(images)]
    return Evaluation(table.assign(species=table["label"].map(by_class)), probabilities, by_class)


def test_the_probability_of_a_species_is_the_sum_over_its_classes() -> None:
    made = evaluation([*SPECIES])
    grouped = made.by_species()
    assert grouped is not None
    probabilities, labels, names = grouped
    assert list(names) == ["fish", "insect", "mammal"]
    np.testing.assert_allclose(probabilities[:, 1], made.probabilities[:, :2].sum(1))
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert list(names[labels]) == list(made.images["species"])
    predictions = made.predictions()
    assert list(predictions["predicted_species"]) == list(names[probabilities.argmax(1)])


def test_scores_are_the_metrics_with_their_intervals() -> None:
    made = evaluation([*SPECIES])
    scores = made.scores("animal", samples=50, seed=1)
    assert list(scores) == ["animal", "species"]
    values, intervals = (
        measure(made.probabilities, made.labels),
        bootstrap_intervals(made.probabilities, made.labels, 50, 1),
    )
    for name, value in values.items():
        low, high = intervals[name]
        assert scores["animal"][name] == {"value": value, "low": low, "high": high}
    assert headline(scores) == {
        "top1": values["top1"],
        "mean_per_class": values["mean_per_class"],
        "nll": values["nll"],
        "species_top1": scores["species"]["top1"]["value"],
    }


@pytest.mark.parametrize("species", [[None] * 6, [*SPECIES[:5], None]])
def test_without_every_class_s_species_there_is_no_task_of_species(species: list[str | None]) -> None:
    made = evaluation(species)
    scores = made.scores("animal", samples=10, seed=1)
    assert list(scores) == ["animal"]
    assert list(headline(scores)) == ["top1", "mean_per_class", "nll"]
    assert made.predictions()["predicted_species"].isna().all()


def test_the_tables_agree_with_the_predictions() -> None:
    made = evaluation([*SPECIES])
    predictions, tables = made.predictions(), made.tables()
    assert predictions["correct"].mean() == measure(made.probabilities, made.labels)["top1"]
    confusion = tables["confusion"]
    assert (confusion["actual"] == confusion["predicted"]).sum() == predictions["correct"].sum()
    per_class = tables["per_class"].set_index("label")
    assert list(per_class["species"]) == SPECIES
    assert per_class["accuracy"].to_dict() == predictions.groupby("label")["correct"].mean().to_dict()
    pairs = predictions[~predictions["correct"]].groupby(["label", "predicted"]).size()
    assert list(tables["confused_pairs"]["images"]) == sorted(pairs, reverse=True)[:20]
    assert tables["reliability"]["images"].sum() == len(predictions)


def test_the_most_confident_mistakes_come_first_and_equal_ones_by_name() -> None:
    predictions = pd.DataFrame(
        {
            "image_id": ["a", "d", "c", "b", "e"],
            "probability": [0.9, 0.8, 0.8, 0.7, 0.6],
            "correct": [True, False, False, False, False],
        }
    )
    assert list(most_confident_mistakes(predictions, 3)["image_id"]) == ["c", "d", "b"]
    assert most_confident_mistakes(predictions, 0).empty


def test_dvc_shows_two_backbones_and_two_heads_in_120_columns(tmp_path: Path) -> None:
    """With the longest names in the default params.yaml."""
    numbers = headline(evaluation([*SPECIES]).scores("breed", samples=10, seed=0))
    files = []
    for backbone, head in product(("mobilenet_v3_large", "efficientnet_lite0"), ("linear", "prototype")):
        files.append(f"evaluations/oxford-iiit-pet/{backbone}/{head}/metrics.json")
        (tmp_path / files[-1]).parent.mkdir(parents=True)
        (tmp_path / files[-1]).write_text(json.dumps(numbers))
    stage = {"cmd": "the test writes them", "metrics": [{file: {"cache": False}} for file in files]}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"evaluate": stage}}))  # JSON is YAML

    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    dvc("init", "--no-scm", "-q")
    heading, *rows = dvc("metrics", "show").splitlines()
    assert heading.split() == ["Path", *sorted(numbers)]
    assert sorted(row.split()[0] for row in rows) == sorted(files)
    assert all(len(row.split()) == 5 for row in rows)
    assert max(len(line.rstrip()) for line in (heading, *rows)) <= 120
