import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import get_model_weights

from pets.backbones.torchvision import preprocessing_of
from pets.images.preprocessing import Preprocessing, to_tensor

NAMES = ["vgg16", "vgg19", "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0"]


def picture(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 120 * np.sin(x / a + y / b) for a, b in ((5, 9), (11, 4), (23, 17))]
    return np.stack(waves, axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", [*NAMES, "convnext_tiny"])
@pytest.mark.parametrize("size", [(500, 375), (128, 128), (300, 401)])
def test_equals_torchvisions_own_transforms(name: str, size: tuple[int, int]) -> None:
    weights = get_model_weights(name).DEFAULT
    pixels = picture(*size)
    ours = preprocessing_of(weights, name)
    mine = ours.normalize(ours.geometry(to_tensor(pixels)).float() / 255)
    reference = weights.transforms()(Image.fromarray(pixels))
    assert mine.shape == reference.shape
    one_level = 1 / 255 / min(ours.std)
    assert (mine - reference).abs().max() <= 2.01 * one_level  # rounding in resizing, nothing more
    assert (mine - reference).abs().mean() <= 0.02 * one_level


@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 400), height=st.integers(1, 400))
def test_any_shape_becomes_the_crop(width: int, height: int) -> None:
    small = Preprocessing(40, 32, 40, "bicubic", (0.5,) * 3, (0.5,) * 3)
    tensor = small.geometry(to_tensor(picture(width, height)))
    assert tensor.shape == (3, 32, 32)
    assert tensor.dtype == torch.uint8
    own, whole = small.views(to_tensor(picture(width, height)), 2)
    assert torch.equal(own, tensor)
    assert whole.shape == (3, 40, 40)


def test_the_second_view_is_the_whole_picture_mirrored() -> None:
    same = Preprocessing(48, 32, 48, "bilinear", (0.5,) * 3, (0.5,) * 3)
    image = to_tensor(picture(48, 48))
    own, whole = same.views(image, 2)
    assert torch.equal(whole, image.flip(2))
    assert torch.equal(own, image[:, 8:40, 8:40])
    assert len(same.views(image, 1)) == 1
