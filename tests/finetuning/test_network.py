"""What is trained and how: folded batch norms, learning rates of layers, gradients that are recomputed."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from pets.backbones.base import Backbone
from pets.backbones.build import build
from pets.core.errors import UserError
from pets.finetuning.network import (
    at_size,
    checkpoint_gradients,
    fold_batch_norms,
    parameter_groups,
    trainable,
)
from tests.finetuning import tiny


@pytest.fixture(scope="module")
def lite() -> Backbone:
    return build("efficientnet_lite0", Path("weights"))


def gradients(network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    network.zero_grad()
    network(images).logsumexp(1).mean().backward()
    return {name: each.grad.clone() for name, each in network.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("name", ["tiny", "lite"])
def test_folded_batch_norms_give_the_same_features_and_gradients(name: str) -> None:
    """In float64, where rounding hides nothing."""
    backbone = tiny.backbone() if name == "tiny" else build("efficientnet_lite0", Path("weights"))
    network = trainable(backbone, tiny.start(), "cpu").double()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    features, expected = network.features(images), gradients(network.features, images)
    names = list(network.state_dict())
    fold_batch_norms(network, 32)
    assert any("forward" in vars(each) for each in network.modules())
    torch.testing.assert_close(network.features(images), features, rtol=1e-6, atol=1e-8)
    found = gradients(network.features, images)
    used = {each for each, _ in network.features.named_parameters() if "unused" not in each}
    assert found.keys() == expected.keys() == used
    for each in found:
        torch.testing.assert_close(found[each], expected[each], rtol=1e-5, atol=1e-8)
    assert list(network.state_dict()) == names


def test_a_convolution_that_something_else_reads_is_not_folded() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            nn.init.constant_(self.norm.running_var, 3.0)  # type: ignore[arg-type]

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = self.convolution(images)
            features: torch.Tensor = (self.norm(maps) + maps).mean((2, 3))
            return features

    backbone = Backbone("twice", Twice().eval(), "", tiny.backbone().preprocessing, "", "")
    network = trainable(backbone, {"weight": torch.randn(4, 2), "bias": torch.zeros(2)}, "cpu")
    images = torch.randn(2, 3, 16, 16)
    logits = network(images)
    fold_batch_norms(network, 16)
    assert torch.equal(network(images), logits)


def test_each_parameter_learns_at_its_layers_rate(lite: Backbone) -> None:
    head = {"weight": torch.zeros(1280, 3), "bias": torch.zeros(3)}
    network = trainable(lite, head, "cpu")
    groups = parameter_groups(network, 1e-3, 0.01, 0.05)
    of = {id(each): group for group in groups for each in group["params"]}
    parameters = dict(network.named_parameters())
    assert sum(len(group["params"]) for group in groups) == len(of) == len(parameters)
    rates = [of[id(each)]["lr"] for each in parameters.values()]
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(1e-5)
    assert of[id(network.head["weight"])]["lr"] == pytest.approx(1e-3)
    for name, each in parameters.items():
        decays = of[id(each)]["weight_decay"]
        assert decays == (0.05 if each.ndim > 1 else 0), name


def test_recomputed_blocks_keep_less_for_the_backward_pass() -> None:
    def kept(network: nn.Module) -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda each: sizes.append(each.numel()) or each,  # type: ignore[func-returns-value]
            lambda each: each,
        ):
            network(torch.randn(1, 3, 64, 64))
        return sum(sizes)

    backbone = build("efficientnet_lite0", Path("weights"))
    network = trainable(backbone, {"weight": torch.zeros(1280, 3), "bias": torch.zeros(3)}, "cpu")
    before = kept(network)
    checkpoint_gradients(backbone)
    assert kept(network) < 0.4 * before


def test_what_has_no_blocks_is_refused() -> None:
    flat = Backbone(
        "flat", nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), "", tiny.backbone().preprocessing, "", ""
    )
    with pytest.raises(UserError, match="flat is no sequence of blocks"):
        checkpoint_gradients(flat)


def test_another_size_keeps_proportions_and_one_size_is_refused(lite: Backbone) -> None:
    assert at_size(lite, None) == at_size(lite, 224) == lite
    smaller = at_size(lite, 112).preprocessing
    assert (smaller.resize, smaller.crop, smaller.whole) == (128, 112, 128)
    fixed = replace(lite, name="fixed", preprocessing=replace(lite.preprocessing, whole=224))
    with pytest.raises(UserError, match=r"finetune\.size is 128, and fixed takes pictures of 224 pixels"):
        at_size(fixed, 128)
