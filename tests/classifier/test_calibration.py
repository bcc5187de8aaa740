"""Calibration makes probabilities mean what they say, and never makes the likelihood worse."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from pets.classifier.calibration import calibrate


def sharpened(images: int, classes: int, factor: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels drawn from softmax(logits); the logits are given multiplied by ``factor``."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(images, classes, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    return logits * factor, labels


@pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
def test_finds_the_temperature_back(factor: float) -> None:
    logits, labels = sharpened(20_000, 5, factor, seed=0)
    calibration = calibrate(logits, labels, np.full(5, 10))
    assert calibration.temperature == pytest.approx(factor, rel=0.05)
    assert calibration.prior_strength == 0


def test_finds_the_prior_back() -> None:
    """Logits that lean towards classes as often as these were trained on, where labels do not."""
    counts = np.array([1, 10, 100])
    logits, labels = sharpened(20_000, 3, 1.0, seed=1)
    leaning = logits + torch.from_numpy(0.6 * np.log(counts / counts.sum())).float()
    assert calibrate(leaning, labels, counts).prior_strength == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("images", [4, 12, 40])
@pytest.mark.parametrize("classes", [2, 6])
@pytest.mark.parametrize("margin", [0.5, 3.0, 30.0])
def test_perfectly_separated_images_do_not_make_it_certain(images: int, classes: int, margin: float) -> None:
    """Their likelihood alone has its maximum at temperature zero, where log-probabilities are infinite."""
    labels = torch.arange(images) % classes
    logits = margin * functional.one_hot(labels, classes).float()
    calibration = calibrate(logits, labels, np.full(classes, images))
    assert calibration.temperature > 0.1 * min(margin, 1)
    assert calibration.nll(logits, (labels + 1) % classes) < 10 * max(margin, 3)


def test_a_head_whose_logits_have_another_scale_gets_its_temperature_from_few_images() -> None:
    """Cosines, as the prototype head's: the prior gives way."""
    logits, labels = sharpened(60, 4, 0.02, seed=3)
    assert calibrate(logits, labels, np.full(4, 15)).temperature == pytest.approx(0.02, rel=0.5)


@settings(max_examples=25, deadline=None)
@given(
    images=st.integers(5, 80),
    classes=st.integers(2, 8),
    factor=st.floats(0.01, 50),
    seed=st.integers(0, 1000),
)
def test_is_never_worse_than_nothing(images: int, classes: int, factor: float, seed: int) -> None:
    logits, labels = sharpened(images, classes, factor, seed)
    calibration = calibrate(logits, labels, np.arange(1, classes + 1))
    before = float(functional.cross_entropy(logits.double(), labels))
    assert calibration.nll(logits, labels) <= before + 1e-6
    sums = calibration.log_probabilities(logits).exp().sum(1)
    torch.testing.assert_close(sums, torch.ones(images))
