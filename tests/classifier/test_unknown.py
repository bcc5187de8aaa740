"""What a model calls unknown: the scores against references, the threshold, and how it is measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from pets import heads
from pets.classifier.open_set import LEFT_OUT, measure
from pets.classifier.training import Trained, train
from pets.classifier.unknown import ASKED, NEIGHBOUR, SCORES, load_unknown, memory_of
from pets.core import names
from pets.core.files import read_json
from pets.heads import Examples

CLASSES, DIMENSIONS = 6, 16
SETTINGS: dict[str, dict[str, Any]] = {
    "linear": {"penalties": [1e-2]},
    "knn": {"neighbours": [5]},
    "prototype": {"centred": [False]},
    "mlp": {
        "hidden": [32], "learning_rate": 1e-2, "weight_decay": 1e-2, "dropout": 0.1, "batch_size": 32,
        "max_epochs": 20,
    },
}  # fmt: skip


def clusters(each: int, seed: int, spread: float = 0.35) -> Examples:
    """Directions with noise, one for each class, all positive as a ReLU leaves them."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), each)
    features = np.eye(CLASSES, DIMENSIONS)[labels] + spread * random.normal(size=(len(labels), DIMENSIONS))
    return Examples(torch.tensor(features, dtype=torch.float32).relu() + 0.05, torch.tensor(labels))


def elsewhere(count: int) -> torch.Tensor:
    """Features in the directions that no class has."""
    random = np.random.default_rng(9)
    features = np.eye(DIMENSIONS)[random.integers(CLASSES, DIMENSIONS, count)] + 0.1 * random.random(
        (count, DIMENSIONS)
    )
    return torch.tensor(features, dtype=torch.float32)


def fitted(head: str) -> Trained:
    labels = list("abcdef")
    wanted = heads.load(head).Settings(**SETTINGS[head])
    return train(head, clusters(30, 0), clusters(40, 1), labels, wanted, seed=3)


@pytest.mark.parametrize(("head", "asked"), [*((head, ASKED) for head in names.heads()), ("linear", 120)])
def test_what_has_another_direction_is_unknown_and_19_of_20_known_pictures_pass(
    head: str, asked: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where some of the validation images are asked, half of them here."""
    monkeypatch.setattr("pets.classifier.unknown.ASKED", asked)
    trained = fitted(head)
    trained.head.save(tmp_path, unknown=trained.unknown.save(tmp_path))
    unknown = load_unknown(tmp_path)
    known, other = (
        unknown.scores(trained.head, each) for each in (clusters(100, 2).features, elsewhere(200))
    )
    assert float((known <= unknown.threshold).double().mean()) == pytest.approx(0.95, abs=0.04)
    assert float((other > unknown.threshold).double().mean()) > 0.9
    assert unknown.score == max(trained.auroc, key=lambda each: trained.auroc[each])
    assert read_json(tmp_path / "head.json")["unknown"]["score"] == unknown.score
    torch.testing.assert_close(known, trained.unknown.scores(trained.head, clusters(100, 2).features))


def test_the_scores_are_those_of_their_papers() -> None:
    examples, features = clusters(30, 0), clusters(10, 4).features
    logits = torch.randn(len(features), CLASSES, dtype=torch.float64)
    values = {name: score(logits, features, memory_of(examples, 0)).numpy() for name, score in SCORES.items()}
    nearest = NearestNeighbors(n_neighbors=NEIGHBOUR, metric="cosine").fit(examples.features)
    np.testing.assert_allclose(values["neighbours"], nearest.kneighbors(features)[0][:, -1], atol=2e-3)
    np.testing.assert_allclose(values["energy"], -np.log(np.exp(logits.numpy()).sum(1)))
    np.testing.assert_allclose(values["max_logit"], -logits.numpy().max(1))
    probabilities = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    np.testing.assert_allclose(values["max_probability"], -probabilities.max(1))


def test_other_data_sets_and_classes_left_out_are_measured_as_scikit_learn_does() -> None:
    trained, test, other = fitted("linear"), clusters(50, 2), elsewhere(120)
    everything = clusters(30, 0) + clusters(40, 1)
    unknown = replace(trained.unknown, score="max_logit")
    found = measure(
        trained.head, unknown, trained.setting, everything, test, {"other": other}, CLASSES, 50, 3
    )
    table: Any = found.auroc.set_index(["unknown", "score"])
    assert list(found.auroc["score"]) == 2 * list(SCORES)
    chosen = found.auroc[found.auroc["chosen"]]
    assert list(chosen["unknown"]) == ["other", LEFT_OUT]
    assert set(chosen["score"]) == {"max_logit"}

    low, high = (trained.unknown.scores(trained.head, each, "energy") for each in (test.features, other))
    expected = roc_auc_score([0] * len(low) + [1] * len(high), torch.cat([low, high]))
    assert table.loc[("other", "energy"), "auroc"] == pytest.approx(expected)

    kept = everything.labels != 2
    labels = everything.labels[kept] - (everything.labels[kept] > 2).long()
    tensors = heads.load("linear").fit(
        Examples(everything.features[kept], labels), CLASSES - 1, trained.setting, 3
    )
    values = -heads.load("linear").logits(tensors, test.features).amax(1)
    expected = roc_auc_score(test.labels == 2, values)
    by_class = found.classes.set_index("label")
    assert list(by_class.index) == list("abcdef")
    assert (by_class["images"] == 50).all()
    assert by_class.loc["c", "auroc"] == pytest.approx(expected, abs=1e-4)
    assert table.loc[(LEFT_OUT, "max_logit"), "auroc"] > 0.8


def test_groups_of_left_out_classes_cover_each_class_once() -> None:
    trained, test = fitted("prototype"), clusters(5, 2)
    found = measure(trained.head, trained.unknown, trained.setting, clusters(30, 0), test, {}, 2, 10, 3)
    assert list(found.classes["label"]) == list("abcdef")
    shares = found.histogram.groupby("pictures")["share"].sum()
    assert dict(shares) == pytest.approx({"test": 1, LEFT_OUT: 1})
