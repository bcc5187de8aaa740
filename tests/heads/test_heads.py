"""What every head must do, and the reference implementation of each."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch.nn import functional

from pets import heads
from pets.core import names
from pets.heads import Examples, knn, linear, prototype, unit
from pets.heads.linear import scaled, solve

SETTINGS: dict[str, dict[str, Any]] = {
    "linear": {"penalties": [1e-3, 1e-1]},
    "knn": {"neighbours": [1, 5, 1000]},
    "prototype": {"centred": [False, True]},
    "mlp": {
        "hidden": [16, 32],
        "learning_rate": 1e-2,
        "weight_decay": 1e-2,
        "dropout": 0.2,
        "batch_size": 32,
        "max_epochs": 20,
    },
}
CLASSES = 4


def clusters(images: int, dimensions: int = 12, spread: float = 0.9, seed: int = 0) -> Examples:
    """Overlapping clouds of points, all features positive as a ReLU leaves them."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(CLASSES, dimensions, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(images) % CLASSES
    noise = torch.randn(images, dimensions, generator=generator)
    return Examples((means[labels] + spread * noise).relu() + 0.1, labels)


@pytest.mark.parametrize("name", names.heads())
class TestEveryHead:
    def fitted(self, name: str, seed: int = 0) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        head = heads.load(name)
        train, validation = clusters(120), clusters(60, seed=1)
        wanted = head.Settings(**SETTINGS[name])
        trials = list(head.trials(train, validation, CLASSES, wanted, seed))
        logits = [head.logits(trial.tensors, validation.features) for trial in trials]
        assert all(each.shape == (60, CLASSES) for each in logits)
        assert all(torch.isfinite(each).all() for each in logits)
        best = trials[
            int(np.argmin([float(functional.cross_entropy(each, validation.labels)) for each in logits]))
        ]
        return best.setting, head.fit(train + validation, CLASSES, best.setting, seed)

    def test_learns(self, name: str) -> None:
        _, tensors = self.fitted(name)
        test = clusters(200, seed=2)
        predicted = heads.load(name).logits(tensors, test.features).argmax(1)
        assert (predicted == test.labels).float().mean() > 0.8

    def test_tries_every_possible_setting(self, name: str) -> None:
        head = heads.load(name)
        trials = list(
            head.trials(clusters(40), clusters(20), CLASSES, head.Settings(**SETTINGS[name]), seed=0)
        )
        assert len(trials) == 2  # knn's 1000 neighbours are more than there are

    def test_the_same_seed_gives_the_same_head(self, name: str) -> None:
        first, second = self.fitted(name, seed=5), self.fitted(name, seed=5)
        assert first[0] == second[0]
        assert all(torch.equal(first[1][key], second[1][key]) for key in first[1])

    def test_survives_saving_and_loading(self, name: str) -> None:
        _, tensors = self.fitted(name)
        again = load(save({key: tensor.contiguous() for key, tensor in tensors.items()}))
        features = clusters(10).features
        torch.testing.assert_close(
            heads.load(name).logits(again, features),
            heads.load(name).logits(tensors, features),
            rtol=0,
            atol=0,
        )

    def test_is_differentiable_in_the_features(self, name: str) -> None:
        _, tensors = self.fitted(name)
        features = clusters(10).features.requires_grad_()
        heads.load(name).logits(tensors, features).logsumexp(1).sum().backward()
        assert features.grad is not None
        assert torch.isfinite(features.grad).all()

    def test_an_image_does_not_depend_on_its_batch(self, name: str) -> None:
        _, tensors = self.fitted(name)
        features = clusters(9).features
        together = heads.load(name).logits(tensors, features)
        alone = torch.cat([heads.load(name).logits(tensors, each) for each in features.split(1)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_knn_of_fewer_images_than_neighbours_takes_all() -> None:
    examples, features = clusters(20), clusters(10, seed=1).features
    few, more = (knn.fit(examples, CLASSES, {"neighbours": each}, 0) for each in (20, 50))
    assert torch.equal(knn.logits(few, features), knn.logits(more, features))


def objective(
    features: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, penalty: float
) -> float:
    logits = features.double() @ weight.double() + bias.double()
    return float(functional.cross_entropy(logits, labels) + penalty / 2 * weight.double().square().sum())


@settings(max_examples=10, deadline=None)
@given(
    images=st.integers(20, 200),
    dimensions=st.integers(2, 300),
    classes=st.integers(2, 8),
    exponent=st.floats(-3.5, 0),
    seed=st.integers(0, 100),
    at_once=st.sampled_from([1, linear.LOGITS]),
)
def test_linear_agrees_with_scikit_learn(
    images: int, dimensions: int, classes: int, exponent: float, seed: int, at_once: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = scaled(torch.randn(images, dimensions, generator=generator).relu() + 0.01)
    labels = torch.arange(images) % classes
    penalties = [10**exponent, 0.05]  # together or in turn, each must come out as if alone
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "LOGITS", at_once)
        weights, biases = solve(features, labels, classes, penalties)
    for penalty, weight, bias in zip(penalties, weights, biases, strict=True):
        reference = LogisticRegression(C=1 / (penalty * images), tol=1e-9, max_iter=20_000)
        reference.fit(features.double().numpy(), labels.numpy())
        their_logits = reference.decision_function(features.double().numpy())
        if classes == 2:  # scikit-learn fits one vector there, half of whose norm is the two vectors' one
            their_loss = two_class_optimum(features, labels, penalty)
        else:
            their_loss = objective(
                features,
                labels,
                torch.from_numpy(reference.coef_.T),
                torch.from_numpy(reference.intercept_),
                penalty,
            )
        assert abs(objective(features, labels, weight, bias, penalty) - their_loss) < 1e-4
        if classes > 2:
            margin = np.sort(their_logits, axis=1)
            clear = margin[:, -1] - margin[:, -2] > 1e-2
            ours = (features @ weight + bias).argmax(1).numpy()
            np.testing.assert_array_equal(ours[clear], their_logits.argmax(1)[clear])


def two_class_optimum(features: torch.Tensor, labels: torch.Tensor, penalty: float) -> float:
    """With two classes the optimum has weights w and -w: one vector 2w with half the penalty."""
    reference = LogisticRegression(C=2 / (penalty * len(labels)), tol=1e-9, max_iter=20_000)
    reference.fit(features.double().numpy(), labels.numpy())
    half = torch.from_numpy(reference.coef_.T) / 2
    bias = torch.from_numpy(reference.intercept_) / 2
    return objective(features, labels, torch.cat([-half, half], 1), torch.cat([-bias, bias]), penalty)


def test_linear_says_so_when_it_has_not_converged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "STEPS", 2)
    features = torch.randn(500, 100, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, CLASSES, (500,), generator=torch.Generator().manual_seed(1))
    solve(scaled(features), labels, CLASSES, [1e-6])
    assert "larger ones converge sooner" in capsys.readouterr().out


def test_knn_agrees_with_scikit_learn() -> None:
    train, test = clusters(150), clusters(50, seed=3)
    tensors = knn.fit(train, CLASSES, {"neighbours": 7}, 0)
    ours = knn.logits(tensors, test.features).softmax(1)
    reference = KNeighborsClassifier(
        7, metric="cosine", weights=lambda distance: np.exp((1 - distance) / knn.TEMPERATURE)
    )
    reference.fit(unit(train.features).half().float().numpy(), train.labels.numpy())
    theirs = reference.predict_proba(unit(test.features).numpy())
    np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-3)


def test_prototype_agrees_with_scikit_learn() -> None:
    train, test = clusters(150), clusters(50, seed=3)
    tensors = prototype.fit(train, CLASSES, {"centred": False}, 0)
    centroids = NearestCentroid().fit(unit(train.features).numpy(), train.labels.numpy()).centroids_
    directions = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    theirs = unit(test.features).numpy() @ directions.T
    np.testing.assert_allclose(prototype.logits(tensors, test.features).numpy(), theirs, atol=1e-5)
