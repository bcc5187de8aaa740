"""Grad-CAM: which region of a picture spoke for a class.

Selvaraju et al.: Grad-CAM, ICCV 2017. The last feature maps are summed, each weighted by the mean gradient of
the class's score with respect to it, and only what speaks for the class is kept.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from stages.insights.layers import as_maps, recorded, with_maps


def last_that_counts(network: nn.Module, side: int) -> str:
    """The last layer whose maps the features depend on, for images ``side`` pixels wide.

    A convolutional network's last maps. In a vision transformer only the class's token goes on from the last
    block, so that no place has a gradient after the last attention: it is the layer before that.
    """
    device = next(network.parameters()).device
    # Noise, because on an empty image a ReLU may have no slope.
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    names = list(with_maps(network, image))
    with torch.enable_grad(), recorded(network, names) as outputs:
        features = network(image.requires_grad_())
        # Not their plain sum, which a layer normalization holds constant.
        weighted = features @ torch.linspace(-1, 1, features.shape[1], device=device)
        slopes = torch.autograd.grad(weighted.sum(), [outputs[name] for name in names], allow_unused=True)
    counting = [
        name
        for name, slope in zip(names, slopes, strict=True)
        if (maps := as_maps(slope)) is not None and maps.any()
    ]
    return counting[-1]


def gradcam(
    network: nn.Module,
    layer: str,
    score: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    classes: torch.Tensor,
) -> torch.Tensor:
    """Heat maps [n, side, side] in [0, 1] of normalized ``images`` [n, 3, side, side].

    ``classes`` int64 [n]: what the maps speak for. ``score``: features [n, dimensions] to scores before
    softmax [n, classes]; after it, a map would also show what speaks against the other classes. Each map is
    scaled to its own largest value; where nothing speaks for the class it is zero.
    """
    with torch.enable_grad(), recorded(network, [layer]) as outputs:
        scores = score(network(images.clone().requires_grad_()))
        chosen = scores.gather(1, classes.unsqueeze(1)).sum()
        (gradient,) = torch.autograd.grad(chosen, outputs[layer])
        maps, slopes = as_maps(outputs[layer]), as_maps(gradient)
    assert maps is not None and slopes is not None, f"{layer} has no maps"  # noqa: PT018 (for mypy)
    weights = slopes.mean((2, 3), keepdim=True)
    heat = (weights * maps).sum(1, keepdim=True).relu().detach()
    heat = functional.interpolate(heat, images.shape[-2:], mode="bilinear", align_corners=False).squeeze(1)
    return heat / heat.amax((1, 2), keepdim=True).clamp_min(1e-12)
