from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from pets.backbones.build import build
from pets.core.errors import UserError
from pets.images.preprocessing import Preprocessing
from pets.visualization.feature_maps import most_active, patch, patch_figures, record
from pets.visualization.layers import as_maps, choose_layers, in_words, recorded, representative, with_maps
from tests.visualization.transformers import TIMMS, swin, vision_transformer


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet18", ["relu", "layer1", "layer2", "layer3", "layer4"]),
        ("mobilenet_v2", ["features.1", "features.3", "features.6", "features.13", "features"]),
        ("maxvit_t", ["stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3"]),
    ],
)
def test_one_layer_of_each_size(name: str, layers: list[str]) -> None:
    network = torchvision.models.get_model(name, weights=None).eval()
    maps = with_maps(network, 224)
    assert representative(maps) == layers
    assert [maps[layer][1] for layer in layers] == [112, 56, 28, 14, 7]


@pytest.mark.parametrize(
    ("network", "name", "words"),
    [
        ("resnet18", "relu", "beginning of the network"),
        ("resnet18", "layer3", "block 3 of 4, end of the network"),
        ("resnet18", "layer3.0", "block 5 of 8, middle of the network"),
        ("resnet18", "layer3.0.conv2", "in block 5 of 8, middle of the network"),
        ("mobilenet_v2", "features.6", "block 7 of 19, middle of the network"),
        ("mobilenet_v2", "features", "end of the network"),
        ("vgg11", "features.10", "layer 11 of 21, middle of the network"),
        ("densenet121", "features.relu0", "beginning of the network"),
        ("vit", "encoder.layers.encoder_layer_3.ln_1", "in block 4 of 4, end of the network"),
    ],
)
def test_words_say_where_a_layer_is(network: str, name: str, words: str) -> None:
    """As counted in that network; the normalization and the activation of a stem are not blocks."""
    vit = network == "vit"
    modules = vision_transformer() if vit else torchvision.models.get_model(network, weights=None).eval()
    assert in_words(name, list(with_maps(modules, 32 if vit else 224))) == words


def test_a_shared_activation_is_where_it_was_used_last() -> None:
    """EfficientNet-Lite has one activation module for all its layers: the last maps are its last output."""
    backbone = build("efficientnet_lite0", Path("weights"))
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    last = representative(with_maps(backbone.features, 224))[-1]
    with torch.inference_mode(), recorded(backbone.features, [last]) as outputs:
        features = backbone.features(image)
    assert torch.equal(outputs[last].mean((2, 3)), features)


def test_outputs_without_positions_are_no_maps() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    assert with_maps(network, 9) == {"0": (5, 7)}
    assert as_maps((torch.zeros(1, 5, 7, 7), None)) is None
    assert as_maps(torch.zeros(1, 12, 8)) is None  # tokens that form no square
    assert representative({}) == []


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        (vision_transformer(), "encoder.dropout"),
        (swin(), "features.0"),
        *((network, "norm_pre") for name, network in TIMMS.items() if "EVA" not in name),
    ],
)
def test_a_transformers_maps_are_laid_out_as_the_picture(network: torch.nn.Module, layer: str) -> None:
    """Before any attention, a change in one patch changes that position alone."""
    images = torch.zeros(2, 3, 32, 32)
    images[1, :, 8:12, 20:24] = torch.randn(3, 4, 4)
    with torch.inference_mode(), recorded(network, [layer]) as outputs:
        network(images)
    maps = as_maps(outputs[layer])
    assert maps is not None
    assert maps.shape == (2, 12, 8, 8)
    assert (maps[0] != maps[1]).any(0).nonzero().tolist() == [[2, 5]]


def test_a_transformer_is_represented_by_each_quarter_of_its_blocks() -> None:
    tokens = with_maps(vision_transformer(blocks=8), 32)
    assert representative(tokens) == [f"encoder.layers.encoder_layer_{at}" for at in (1, 3, 5, 7)]
    assert tokens["encoder.layers.encoder_layer_1"] == (12, 8)
    for network in TIMMS.values():
        assert representative(with_maps(network, 32)) == [f"blocks.{at}" for at in range(4)]
    for version in (1, 2):
        maps = with_maps(swin(version), 32)
        assert representative(maps) == ["features.1", "permute"]
        assert [maps[name] for name in representative(maps)] == [(12, 8), (24, 4)]
        assert not any(
            "cpb_mlp" in name for name in maps
        )  # Swin v2's table of positions, which depends on no picture


def test_a_copied_output_is_not_changed_by_later_layers() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(inplace=True))
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), recorded(network, ["0"], copied=True) as outputs:
        network(image)
        assert torch.equal(outputs["0"], network[0](image))
        assert outputs["0"].min() < 0


def test_outputs_are_recorded_only_within_the_context() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())
    with recorded(network, ["0"]) as outputs:
        result = network(torch.ones(1, 3, 5, 5))
    assert torch.equal(outputs["0"].relu(), result)
    network(torch.zeros(2, 3, 9, 9))
    assert outputs["0"].shape == (1, 2, 3, 3)


def test_an_unknown_layer_or_channel_is_an_error() -> None:
    maps = {"layer1": (64, 56), "relu": (64, 112)}
    found = choose_layers({"layer1": [0, 63, 0], "relu": []}, maps, "resnet18")
    assert found == {"layer1": [0, 63], "relu": []}
    assert choose_layers({}, maps, "resnet18") == {"relu": [], "layer1": []}
    with pytest.raises(UserError, match=r"'layer9', but resnet18 has no such layer.*did you mean 'layer1'"):
        choose_layers({"layer9": []}, maps, "resnet18")
    with pytest.raises(
        UserError, match=r"channel 64 of 'layer1', but in resnet18 that layer has 64 channels: 0 to 63"
    ):
        choose_layers({"layer1": [3, 64]}, maps, "resnet18")


def test_the_most_active_channels_come_first() -> None:
    maps = torch.tensor([0.0, 3, 1, 2]).view(4, 1, 1).expand(4, 2, 2)
    assert most_active(maps, 3) == [1, 3, 2]


def test_the_first_patch_is_where_the_activation_is_highest(tmp_path: Path) -> None:
    """Of more pictures than fit into a batch: of two reds, and of none in the others."""
    pixels = np.zeros((20, 64, 64, 3), np.uint8)
    pixels[3, 40, 30], pixels[17, 9, 50] = (100, 0, 0), (200, 0, 0)
    files = [tmp_path / f"{number}.png" for number in range(20)]
    for file, each in zip(files, pixels, strict=True):
        Image.fromarray(each).save(file)
    network = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False)).requires_grad_(False)
    network[0].weight.data = torch.eye(3).view(3, 3, 1, 1)
    found = record(network, files, Preprocessing(64, 64, 64, "bilinear", (0,) * 3, (1,) * 3), ["0"], 1)
    values, positions = found.highest["0"]
    assert values.shape == (20, 3)
    assert [divmod(int(positions[picture, 0]), 64) for picture in (3, 17)] == [(40, 30), (9, 50)]
    (figure,) = patch_figures("network", "noise", found, {"0": [0]}, {"0": "layer 1 of 1"}, 2)
    for tile, picture, row, column in zip(figure.tiles, (17, 3), (9, 40), (50, 30), strict=True):
        cut = Image.fromarray(patch(pixels[picture], row, column, 64, 24)).resize(
            (112, 112), Image.Resampling.BICUBIC
        )
        np.testing.assert_array_equal(tile.picture, np.asarray(cut))


@given(grid=st.integers(1, 56), data=st.data())
def test_a_patch_is_within_the_picture_and_contains_its_position(grid: int, data: st.DataObject) -> None:
    row, column = (data.draw(st.integers(0, grid - 1)) for _ in range(2))
    side = data.draw(st.integers(24, 112))
    positions = torch.stack(
        torch.meshgrid(torch.arange(112), torch.arange(112), indexing="ij"), dim=2
    ).numpy()
    cut = patch(positions, row, column, grid, side)
    assert cut.shape == (side, side, 2)
    for axis, at in enumerate((row, column)):
        centre = (at + 0.5) * 112 / grid
        assert cut[..., axis].min() - 0.5 <= centre <= cut[..., axis].max() + 1.5
