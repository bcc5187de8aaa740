from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn import functional

from pets.classifier.classifier import Classifier, Joined
from pets.images.preprocessing import Preprocessing
from pets.visualization.gradcam import explain, figure, gradcam, target_layer
from tests.classifier.tiny import tiny_classifier
from tests.visualization.transformers import TIMMS, swin, vision_transformer


def network() -> tuple[nn.Sequential, nn.Linear]:
    torch.manual_seed(1)
    features = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return features.requires_grad_(False), nn.Linear(6, 4).requires_grad_(False)


def test_equals_cam_where_the_head_is_linear_on_pooled_features() -> None:
    """CAM as defined by Zhou et al.: Learning deep features for discriminative localization, CVPR 2016."""
    features, head = network()
    images = torch.randn(5, 3, 12, 12)
    classes = torch.tensor([0, 1, 2, 3, 1])
    ours = gradcam(features, ["1"], head, images, classes)
    maps = features[:2](images)
    cam = torch.einsum("nc,nchw->nhw", head.weight[classes], maps).relu()
    cam = functional.interpolate(cam[:, None], (12, 12), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(ours, cam / cam.amax((1, 2), keepdim=True).clamp_min(1e-12))


def test_finds_the_region_that_speaks_for_the_class() -> None:
    """A class whose score is the mean of red is explained by the red corner."""
    layers = nn.Conv2d(3, 2, 1, bias=False)
    layers.weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1)
    features = nn.Sequential(layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).requires_grad_(False)
    image = torch.zeros(1, 3, 16, 16)
    image[0, 0, :4, :4] = 1
    image[0, 1, 8:, 8:] = 1
    heat = gradcam(features, ["1"], lambda each: each, image, torch.tensor([0]))[0]
    assert heat[:4, :4].min() > 0.9
    assert heat[8:, 8:].max() == 0


def test_the_map_is_zero_where_nothing_speaks_for_the_class() -> None:
    features, _ = network()
    heat = gradcam(features, ["1"], lambda each: -each, torch.randn(1, 3, 12, 12), torch.tensor([0]))
    assert heat.max() == 0


def test_a_vision_transformer_is_explained_where_its_positions_still_have_a_gradient() -> None:
    """After the last attention only the class token is used, and no position has a gradient."""
    transformer, images, classes = vision_transformer(), torch.randn(2, 3, 32, 32), torch.tensor([0, 1])
    layer = target_layer(transformer, 32)
    assert layer == "encoder.layers.encoder_layer_3.ln_1"
    assert gradcam(transformer, ["encoder"], lambda each: each, images, classes).max() == 0
    heat = gradcam(transformer, [layer], lambda each: each, images, classes)
    assert heat.shape == (2, 32, 32)
    torch.testing.assert_close(heat.amax((1, 2)), torch.ones(2), rtol=0.2, atol=0)


@pytest.mark.parametrize("name", TIMMS)
def test_timms_transformers_are_explained_outside_of_attention(name: str) -> None:
    """Where only the class token is used, before the last attention, otherwise at the last tokens of all."""
    network, image = TIMMS[name], torch.randn(1, 3, 32, 32)
    layer = target_layer(network, 32)
    assert layer == ("blocks.3.norm1" if "class token" in name else "norm" if "SigLIP" in name else layer)
    assert "attn" not in layer
    heat = gradcam(network, [layer], lambda each: each, image, torch.tensor([0]))
    assert heat.shape == (1, 32, 32)


def test_the_maps_of_joined_networks_are_added() -> None:
    """Each network's own map, weighted as the joined score weighs it, before both are scaled together."""
    networks = [network()[0], network()[0]]
    same = Preprocessing(12, 12, 12, "bilinear", (0, 0, 0), (1, 1, 1))
    images, classes = torch.rand(3, 3, 12, 12), torch.tensor([0, 7, 3])
    joined = Joined(networks, [same, same])
    heat = gradcam(joined, ["networks.0.1", "networks.1.1"], lambda each: each, images, classes)
    parts = [gradcam(joined, [f"networks.{at}.1"], lambda each: each, images, classes) for at in (0, 1)]
    assert parts[0][1].max() == 0  # class 7 is a feature of the second network
    torch.testing.assert_close(heat[1], parts[1][1])
    torch.testing.assert_close(heat[0], parts[0][0])


def test_channels_last_are_explained_as_channels_first() -> None:
    transformer, images, classes = swin(), torch.randn(2, 3, 32, 32), torch.tensor([0, 1])
    assert target_layer(transformer, 32) == "permute"
    first, last = (
        gradcam(transformer, [layer], lambda each: each, images, classes) for layer in ("permute", "norm")
    )
    assert first.max() > 0
    torch.testing.assert_close(last, first)


@pytest.mark.parametrize(("name", "layer"), [("resnet18", "layer4"), ("mobilenet_v2", "features")])
def test_a_convolutional_network_is_explained_at_its_last_maps(name: str, layer: str) -> None:
    network = torchvision.models.get_model(name, weights=None).eval().requires_grad_(False)
    assert target_layer(network, 64) == layer


def with_weights_times(factor: float) -> Classifier:
    """With a linear head in which the weights of all classes but the first are multiplied by ``factor``."""
    weight = torch.linspace(-1, 1, 24).view(6, 4)
    weight[:, 1:] *= factor
    return tiny_classifier("linear", {"weight": weight, "bias": torch.zeros(4)})


def test_a_map_depends_on_its_own_class_alone(tmp_path: Path) -> None:
    """As in the paper, it explains the score before softmax, which does not depend on the other classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    mistakes = pd.DataFrame(
        [{"path": "a.png", "image_id": "a", "label": "beagle", "predicted": "Bengal", "probability": 0.9,
          "probabilities": [0.9, 0.0, 0.1, 0.0]}]
    )  # fmt: skip
    (_, one), (_, other) = (explain(with_weights_times(factor), mistakes, tmp_path) for factor in (1.0, -3.0))
    assert np.array_equal(one[1].picture, other[1].picture)  # for the first class
    assert not np.array_equal(one[2].picture, other[2].picture)  # for one of the others


def test_the_caption_says_in_words_where_the_maps_are(tmp_path: Path) -> None:
    classifier = with_weights_times(1.0)
    layer = target_layer(classifier.network, classifier.preprocessing.crop)
    assert f"at the maps of {layer} (layer " in figure(classifier, "tiny", "sample", [layer], []).caption
