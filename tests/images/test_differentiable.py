import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.images.differentiable import network_inputs
from pets.images.preprocessing import Preprocessing, to_tensor

LITE = Preprocessing(256, 224, 256, "bicubic", (127 / 255,) * 3, (128 / 255,) * 3)
RESNET = Preprocessing(232, 224, 232, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
VIT = Preprocessing(256, 224, 224, "bicubic", (0.5,) * 3, (0.5,) * 3)
SMALL = Preprocessing(12, 9, 11, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


def picture(width: int, height: int, seed: int = 0) -> torch.Tensor:
    """Patches of noise with hard edges, where bicubic resizing overshoots the most."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return to_tensor(noise.repeat(4, 0).repeat(4, 1)[:height, :width])


@pytest.mark.parametrize("preprocessing", [LITE, RESNET, VIT])
@pytest.mark.parametrize("size", [(500, 375), (256, 341), (128, 128), (180, 401)])
def test_equals_what_embed_feeds_up_to_rounding(preprocessing: Preprocessing, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    ours = network_inputs(preprocessing, [pixels.float() / 255], 2)
    embeds = [preprocessing.normalize(view.float() / 255) for view in preprocessing.views(pixels, 2)]
    one_level = 1 / 255 / min(preprocessing.std)
    for mine, fed in zip(ours, embeds, strict=True):
        assert mine.shape[1:] == fed.shape
        assert (mine[0] - fed).abs().max() <= 2.01 * one_level
        assert (mine[0] - fed).abs().mean() <= 0.5 * one_level


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 60), st.integers(4, 60), st.integers(1, 3))
def test_a_batch_is_its_pictures(width: int, height: int, count: int) -> None:
    pictures = torch.stack([picture(width, height, seed).float() / 255 for seed in range(count)])
    together = network_inputs(SMALL, pictures, 2)
    each = network_inputs(SMALL, list(pictures), 2)
    assert [tuple(view.shape) for view in together] == [(count, 3, 9, 9), (count, 3, 11, 11)]
    for a, b in zip(together, each, strict=True):
        torch.testing.assert_close(a, b)


def test_pictures_of_different_sizes_make_one_batch() -> None:
    pictures = [picture(30, 17).double() / 255, picture(14, 40).double() / 255]
    (batch,) = network_inputs(SMALL, pictures, 1)
    assert batch.shape == (2, 3, 9, 9)
    assert batch.dtype == torch.float64


def test_gradients_are_those_of_finite_differences() -> None:
    pictures = (picture(10, 16, 3).double() / 255).clamp(0.2, 0.8).unsqueeze(0).requires_grad_()

    def both(pixels: torch.Tensor) -> torch.Tensor:
        return torch.cat([view.flatten() for view in network_inputs(SMALL, pixels, 2)])

    assert torch.autograd.gradcheck(both, pictures, eps=1e-6, atol=1e-6)


def test_gradients_after_the_same_sizes_were_seen_without_them() -> None:
    pixels = picture(23, 19).float() / 255
    with torch.inference_mode():
        network_inputs(SMALL, [pixels], 2)
    pixels.requires_grad_()
    sum(view.sum() for view in network_inputs(SMALL, [pixels], 2)).backward()  # type: ignore[union-attr]
    assert pixels.grad is not None
    assert pixels.grad.abs().max() > 0
