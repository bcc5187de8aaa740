"""Grad-CAM: which region of a picture spoke for a class.

Selvaraju et al.: Grad-CAM, ICCV 2017. The last feature maps are summed, each weighted by the mean gradient of
the class's score with respect to it, and only what speaks for the class is kept.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from stages.insights.layers import recorded


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
        maps = outputs[layer]
        (gradient,) = torch.autograd.grad(chosen, maps)
    weights = gradient.mean((2, 3), keepdim=True)
    heat = (weights * maps).sum(1, keepdim=True).relu().detach()
    heat = functional.interpolate(heat, images.shape[-2:], mode="bilinear", align_corners=False).squeeze(1)
    return heat / heat.amax((1, 2), keepdim=True).clamp_min(1e-12)
