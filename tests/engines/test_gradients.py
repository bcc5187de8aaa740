from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from pets.backbones.base import Backbone
from pets.backbones.build import build
from pets.engines.gradients import differentiable
from pets.images.preprocessing import Preprocessing


def backbone(network: nn.Module) -> Backbone:
    same = Preprocessing(16, 16, 16, "bilinear", (0.5,) * 3, (0.5,) * 3)
    return Backbone("toy", network.eval().requires_grad_(False), "last", same, "none", "0")


def worn(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """With statistics as after training."""
    nn.init.uniform_(norm.running_mean)  # type: ignore[arg-type]
    nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def norms_in(network: nn.Module) -> int:
    return sum(isinstance(each, nn.BatchNorm2d) for each in network.modules())


def test_folding_keeps_the_features_and_leaves_no_batch_norm() -> None:
    lite = build("efficientnet_lite0", Path("weights"))
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    ready = differentiable(lite, "cpu", "float32")
    assert norms_in(lite.features) > 0
    assert norms_in(ready) == 0
    with torch.inference_mode():
        torch.testing.assert_close(ready(images), lite.features(images), rtol=1e-3, atol=1e-4)


def test_a_norm_of_timms_is_folded_and_its_activation_stays() -> None:
    """In timm the activation is a part of the norm's module."""
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=0)
    mobile = timm.create_model("mobilenetv4_conv_small_035", num_classes=0)
    for each in (network, mobile):
        for norm in (module for module in each.modules() if isinstance(module, nn.BatchNorm2d)):
            worn(norm)
        ready = differentiable(backbone(each), "cpu", "float32")
        assert norms_in(ready) == 0
        images = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(ready(images), each(images), rtol=1e-3, atol=1e-4)


def test_a_batch_norm_before_its_convolution_stays() -> None:
    network = nn.Sequential(
        worn(nn.BatchNorm2d(3)), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    ready = differentiable(backbone(network), "cpu", "float32")
    assert norms_in(ready) == 1
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(ready(images), network(images))


class Shared(nn.Module):
    """A convolution whose output is needed before its norm, too."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), worn(nn.BatchNorm2d(4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        before = self.convolution(images)
        both: torch.Tensor = (before + self.norm(before)).mean((2, 3))
        return both


def test_where_folding_would_change_the_features_nothing_is_folded() -> None:
    network = Shared()
    ready = differentiable(backbone(network), "cpu", "float32")
    assert norms_in(ready) == 1
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(ready(images), network(images))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_only_the_pixels_get_a_gradient(precision: str) -> None:
    ready = differentiable(build("efficientnet_lite0", Path("weights")), "cpu", precision)
    images = torch.randn(1, 3, 64, 64).requires_grad_()
    features = ready(images)
    assert features.dtype == torch.float32
    features.sum().backward()
    assert images.grad is not None
    assert all(each.grad is None for each in ready.parameters())


def test_gradients_in_bfloat16_point_the_same_way() -> None:
    gradients = []
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    for precision in ("float32", "bfloat16"):
        ready = differentiable(build("efficientnet_lite0", Path("weights")), "cpu", precision)
        pixels = images.clone().requires_grad_()
        ready(pixels)[:, :40].sum().backward()
        assert pixels.grad is not None
        gradients.append(pixels.grad.flatten(1))
    assert nn.functional.cosine_similarity(gradients[0], gradients[1]).min() > 0.8
