"""From pixels to the loss: the gradient against finite differences, and the numbers against embed's own."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pets import heads
from pets.attacks.apgd import reference
from pets.attacks.deepfool import deepfool
from pets.attacks.fmn import fmn
from pets.attacks.objective import Misclassify, canvas, cut, grouped, misclassify
from pets.attacks.pgd import pgd
from pets.backbones.base import Backbone
from pets.backbones.build import build
from pets.classifier.calibration import Calibration
from pets.classifier.classifier import Classifier, Extractor
from pets.classifier.fitted_head import FittedHead, load_head
from pets.engines.device import Precision
from pets.engines.gradients import differentiable
from pets.engines.pytorch import Engine
from pets.heads import Examples
from pets.images.decoding import decode
from pets.images.png import save_png
from pets.images.preprocessing import Preprocessing, to_tensor
from pets.sources.synthetic_pets import BREEDS, draw
from tests.classifier.tiny import SIDE, pictures, tiny_classifier

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


def fitted(name: str, dimensions: int, dtype: torch.dtype = torch.float32) -> FittedHead:
    """A head fitted on random features."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(40, dimensions, generator=generator)
    examples = Examples(features, torch.arange(40) % CLASSES)
    tensors = heads.load(name).fit(examples, CLASSES, SETTINGS[name], 0)
    tensors = {key: each.to(dtype) if each.is_floating_point() else each for key, each in tensors.items()}
    calibration = Calibration(1.3, 0.2, [0.1, 0.0, -0.1, 0.2, 0.0])
    return FittedHead(name, tensors, calibration, list("abcde"))


def classifier_of(
    head: FittedHead,
    features: nn.Module,
    preprocessing: Preprocessing,
    views: int,
    precision: Precision = "float32",
) -> Classifier:
    """The head on these features; the engine is another network's and only has the preprocessing."""
    unused = Backbone("unused", nn.Flatten(), "", preprocessing, "", "")
    return Classifier(head, [Extractor(features, Engine(unused, "cpu", precision), views, "float16")])


@pytest.mark.parametrize("head", ["linear", "prototype", "mlp"])
def test_gradients_from_pixels_to_loss_agree_with_finite_differences(head: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.Softplus(), nn.Conv2d(6, DIMENSIONS, 3), nn.Softplus(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).double()  # fmt: skip
    preprocessing = Preprocessing(12, 10, 12, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    classifier = classifier_of(fitted(head, DIMENSIONS, torch.float64), network, preprocessing, 2)
    images, sizes = canvas(
        [0.2 + 0.6 * torch.rand(3, 9, 13).double(), 0.2 + 0.6 * torch.rand(3, 15, 11).double()]
    )
    objective = Misclassify(
        lambda each, rows: classifier.log_probabilities(cut(each, sizes, rows)), torch.tensor([1, 3]), True
    )
    pixels = images.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda each: objective(each, torch.arange(2)), (pixels,), eps=1e-6, atol=1e-6
    )


def synthetic(count: int, size: int) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [draw(breed, generator, size) for breed in BREEDS[:count]]


def test_gradients_of_efficientnet_agree_with_finite_differences_in_float64() -> None:
    backbone = build("efficientnet_lite0", Path("weights"))
    features = differentiable(backbone, "cpu", "float64")
    classifier = classifier_of(fitted("linear", 1280, torch.float64), features, backbone.preprocessing, 1)
    picture = to_tensor(np.asarray(synthetic(1, 48)[0])).double() / 255

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
def test_equals_what_embed_makes_of_a_saved_picture(precision: Precision, tmp_path: Path) -> None:
    files = []
    for number, image in enumerate(synthetic(3, 256)):
        files.append(tmp_path / f"{number}.png")
        image.save(files[-1])
    pictures = [to_tensor(decode(file.read_bytes()).pixels).float() / 255 for file in files]
    backbone = build("efficientnet_lite0", Path("weights"))
    features = differentiable(backbone, "cpu", precision)
    head = fitted("linear", 1280)
    engine = Engine(backbone, "cpu", precision)
    classifier = Classifier(head, [Extractor(features, engine, 2, "float16")])
    mine = classifier.log_probabilities(pictures)
    embeds = head.log_probabilities(engine.embed(files, 2, "float16"))
    torch.testing.assert_close(mine, embeds, rtol=0, atol=0.02 if precision == "float32" else 0.1)


def test_a_saved_picture_is_the_picture(tmp_path: Path) -> None:
    picture = torch.rand(3, 7, 9)
    save_png(picture, tmp_path / "a.png")
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
    tensors = heads.load("knn").fit(Examples(features, labels), 2, {"neighbours": 3}, 0)
    head = FittedHead("knn", tensors, Calibration(1.0, 0.0, [0.0, 0.0]), ["a", "b"])

    def slope(fitted: FittedHead) -> float:
        point = features[:1].clone().requires_grad_()
        return float(torch.autograd.grad(fitted.log_probabilities(point)[0, 0], point)[0].abs().max())

    assert slope(head) < 1e-12
    assert slope(head.surrogate()) > 1e-9


@pytest.mark.parametrize("targeted", [False, True])
def test_an_attack_succeeds_by_the_neighbours_and_not_by_their_surrogate(targeted: bool) -> None:
    """The gradient is the surrogate's, whose boundary lies elsewhere."""
    known = torch.cat([tiny_classifier().mean_features(pictures(16, seed)) for seed in range(2)])
    examples = Examples(known, torch.arange(32) % 4)
    classifier = tiny_classifier("knn", heads.load("knn").fit(examples, 4, {"neighbours": 3}, 0))
    images = torch.stack(pictures(8, seed=9))
    labels = classifier.probabilities(list(images)).argmax(1)
    classes = (labels + 1) % 4 if targeted else labels
    objective = misclassify(classifier, [(SIDE, SIDE)] * 8, classes, targeted=targeted)
    for found in (
        pgd(objective, images, norm="linf", epsilon=0.2, step=0.05, steps=8),
        reference(objective, images, epsilon=0.2, steps=8, restarts=0, seed=0),
        deepfool(objective, images, 15),
        fmn(objective, images, 15),
    ):
        predicted = classifier.probabilities(list(found.images)).argmax(1)
        assert found.fooled.any()
        assert torch.equal(found.fooled, (predicted == classes) == targeted)


@pytest.mark.parametrize("head", SETTINGS)
def test_every_head_has_a_surrogate_with_the_same_classes(head: str) -> None:
    features = torch.rand(7, DIMENSIONS)
    exact, surrogate = fitted(head, DIMENSIONS), fitted(head, DIMENSIONS).surrogate()
    assert surrogate.log_probabilities(features).shape == exact.log_probabilities(features).shape


@pytest.mark.parametrize("name", SETTINGS)
def test_a_head_survives_saving_and_loading(name: str, tmp_path: Path) -> None:
    head = fitted(name, DIMENSIONS)
    head.save(tmp_path, chosen=SETTINGS[name])
    loaded = load_head(tmp_path)
    assert (loaded.name, loaded.classes, loaded.calibration) == (head.name, head.classes, head.calibration)
    features = torch.rand(7, DIMENSIONS)
    assert torch.equal(loaded.probabilities(features), head.probabilities(features))


def test_joined_networks_see_one_crop_each_normalized_as_its_own() -> None:
    one = tiny_classifier().extractors[0]
    other = Extractor(one.features, copy(one.engine), one.views, one.dtype)  # the same network, fed otherwise
    other.engine.preprocessing = replace(one.engine.preprocessing, mean=(0.2, 0.3, 0.4), crop=8, resize=8)
    joined = Classifier(tiny_classifier().head, [one, other])
    crops = torch.rand(2, 3, SIDE, SIDE)
    half = nn.functional.interpolate(crops, (8, 8), mode="bilinear", align_corners=False)
    blocks = [one.features(one.engine.preprocessing.normalize(crops))]
    blocks.append(one.features(other.engine.preprocessing.normalize(half)))
    expected = torch.cat([nn.functional.normalize(block, dim=1) for block in blocks], 1)
    normalized = joined.preprocessing.normalize(crops)
    torch.testing.assert_close(joined.features(normalized), expected)
    torch.testing.assert_close(joined.network(normalized), expected)
