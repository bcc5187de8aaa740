"""The whole way from pixels to the loss: its gradient against finite differences, and embed's own numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from stages.attacks.apgd import reference
from stages.attacks.classifier import Classifier, Probe, grouped
from stages.attacks.objective import Misread, canvas, cut
from stages.attacks.pgd import pgd
from stages.attacks.reread import reread, save
from stages.attacks.smallest import deepfool, smallest
from stages.backbones.build import build
from stages.engines.eager import Engine
from stages.engines.gradients import differentiable
from stages.heads.base import Examples
from stages.heads.calibration import Calibration
from stages.heads.registry import HEADS
from stages.images.decoding import decode
from stages.images.preprocessing import Preprocessing, to_tensor
from stages.sources.drawing import BREEDS, draw
from tests.attacks.tiny import SIDE, pictures, victim

DIMENSIONS, CLASSES = 12, 5
SETTINGS: dict[str, dict] = {
    "linear": {"penalty": 0.01},
    "knn": {"neighbours": 3},
    "prototype": {"centred": True},
    "mlp": {
        "hidden": 8,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "batch_size": 20,
        "epochs": 3,
    },
}


def probe(name: str, dimensions: int, dtype: torch.dtype = torch.float32) -> Probe:
    """A head fitted on random features."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(40, dimensions, generator=generator)
    tensors = HEADS[name].fit(Examples(features, torch.arange(40) % CLASSES), CLASSES, SETTINGS[name], 0)
    tensors = {key: each.to(dtype) if each.is_floating_point() else each for key, each in tensors.items()}
    return Probe(HEADS[name], tensors, Calibration(1.3, 0.2, [0.1, 0.0, -0.1, 0.2, 0.0]))


@pytest.mark.parametrize("head", ["linear", "prototype", "mlp"])
def test_gradients_of_the_whole_way_agree_with_finite_differences(head: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.Softplus(), nn.Conv2d(6, DIMENSIONS, 3), nn.Softplus(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).double()  # fmt: skip
    preprocessing = Preprocessing(12, 10, 12, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    classifier = Classifier(network, preprocessing, 2, probe(head, DIMENSIONS, torch.float64).smooth())
    images, sizes = canvas(
        [0.2 + 0.6 * torch.rand(3, 9, 13).double(), 0.2 + 0.6 * torch.rand(3, 15, 11).double()]
    )
    objective = Misread(
        lambda each, rows: classifier.log_probabilities(cut(each, sizes, rows)), torch.tensor([1, 3]), True
    )
    pixels = images.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda each: objective(each, torch.arange(2)), (pixels,), eps=1e-6, atol=1e-6
    )


def drawn(count: int, size: int) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [draw(breed, generator, size) for breed in BREEDS[:count]]


def test_gradients_of_efficientnet_agree_with_finite_differences_in_float64() -> None:
    backbone = build("efficientnet_lite0", Path("weights"))
    features = differentiable(backbone, "cpu", "float64")
    classifier = Classifier(features, backbone.preprocessing, 1, probe("linear", 1280, torch.float64))
    picture = to_tensor(np.asarray(drawn(1, 48)[0])).double() / 255

    def loss(pixels: torch.Tensor) -> torch.Tensor:
        return -classifier.log_probabilities([pixels])[0, 2]

    pixels = (0.1 + 0.8 * picture).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(pixels), pixels)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        direction = torch.randn(pixels.shape, generator=generator, dtype=torch.float64)
        step = 1e-9  # shorter than the way to most kinks of its ReLUs
        with torch.no_grad():
            slope = (loss(pixels + step * direction) - loss(pixels - step * direction)) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_equals_what_is_read_from_a_saved_picture(precision: str, tmp_path: Path) -> None:
    files = []
    for number, image in enumerate(drawn(3, 256)):
        files.append(tmp_path / f"{number}.png")
        image.save(files[-1])
    pictures = [to_tensor(decode(file.read_bytes()).pixels).float() / 255 for file in files]
    backbone = build("efficientnet_lite0", Path("weights"))
    features = differentiable(backbone, "cpu", precision)
    head = probe("linear", 1280)
    mine = Classifier(features, backbone.preprocessing, 2, head).log_probabilities(pictures)
    embeds = head.log_probabilities(reread(files, Engine(backbone, "cpu", precision), 2, "float16"))  # type: ignore[arg-type]
    torch.testing.assert_close(mine, embeds, rtol=0, atol=0.02 if precision == "float32" else 0.1)


def test_a_saved_picture_is_the_picture(tmp_path: Path) -> None:
    picture = torch.rand(3, 7, 9)
    save(picture, tmp_path / "a.png")
    pixels = decode((tmp_path / "a.png").read_bytes()).pixels
    torch.testing.assert_close(to_tensor(pixels).float() / 255, picture, rtol=0, atol=0.5 / 255 + 1e-6)


def test_a_species_has_the_sum_of_its_breeds() -> None:
    logarithms = torch.randn(4, 5).log_softmax(1)
    both = grouped(logarithms, torch.tensor([0, 1, 0, 1, 1]))
    torch.testing.assert_close(both.exp()[:, 0], logarithms.exp()[:, [0, 2]].sum(1))
    torch.testing.assert_close(both.exp().sum(1), torch.ones(4))


def test_neighbours_that_all_agree_still_give_a_gradient() -> None:
    features = torch.rand(40, 6) + 2 * torch.eye(6)[:2].repeat_interleave(20, 0)
    labels = torch.arange(40) // 20
    tensors = HEADS["knn"].fit(Examples(features, labels), 2, {"neighbours": 3}, 0)
    head = Probe(HEADS["knn"], tensors, Calibration(1.0, 0.0, [0.0, 0.0]))

    def slope(of: Probe) -> float:
        point = features[:1].clone().requires_grad_()
        return float(torch.autograd.grad(of.log_probabilities(point)[0, 0], point)[0].abs().max())

    assert slope(head) < 1e-12
    assert slope(head.smooth()) > 1e-9


@pytest.mark.parametrize("targeted", [False, True])
def test_neighbours_themselves_say_whether_an_attack_fooled_them(targeted: bool) -> None:
    """The gradient is a stand-in's, which turns elsewhere."""
    known = torch.cat([victim().classifier.mean_features(pictures(16, seed)) for seed in range(2)])
    examples = Examples(known, torch.arange(32) % 4)
    of = victim("knn", HEADS["knn"].fit(examples, 4, {"neighbours": 3}, 0))
    images = torch.stack(pictures(8, seed=9))
    labels = of.before_saving(list(images)).argmax(1)
    classes = (labels + 1) % 4 if targeted else labels
    objective = of.misread([(SIDE, SIDE)] * 8, classes, targeted=targeted)
    for found in (
        pgd(objective, images, norm="linf", epsilon=0.2, step=0.05, steps=8),
        reference(objective, images, epsilon=0.2, steps=8, restarts=0, seed=0),
        deepfool(objective, images, 15),
        smallest(objective, images, 15),
    ):
        said = of.before_saving(list(found.images)).argmax(1)
        assert found.fooled.any()
        assert torch.equal(found.fooled, (said == classes) == targeted)


@pytest.mark.parametrize("head", SETTINGS)
def test_every_head_has_a_smooth_stand_in_with_the_same_classes(head: str) -> None:
    features = torch.rand(7, DIMENSIONS)
    exact, smooth = probe(head, DIMENSIONS), probe(head, DIMENSIONS).smooth()
    assert smooth.log_probabilities(features).shape == exact.log_probabilities(features).shape
