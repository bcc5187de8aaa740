"""Grad-CAM: which region of a picture speaks for a class.

Selvaraju et al.: Grad-CAM, ICCV 2017. The last feature maps are summed, each weighted by the mean gradient of
the class's score with respect to it, and only the positive part is kept.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from pets.classifier.classifier import Classifier
from pets.core.names import parts
from pets.galleries.figures import Figure, Tile, display_name, percent
from pets.galleries.heatmap import overlay
from pets.images.batches import batches
from pets.visualization.layers import as_maps, in_words, recorded, with_maps

BATCH = 8


def target_layer(network: nn.Module, side: int) -> str:
    """The last layer whose maps the features depend on, for images ``side`` pixels wide.

    A convolutional network's last maps. In a vision transformer only the class token is used after the last
    block, so no position has a gradient after the last attention: it is the layer before that.
    """
    device = next(network.parameters()).device
    # Noise, because on an empty image a ReLU may have no gradient.
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    names = list(with_maps(network, side))
    with torch.enable_grad(), recorded(network, names) as outputs:
        features = network(image.requires_grad_())
        # Not their plain sum, which a layer normalization keeps constant.
        weighted = features @ torch.linspace(-1, 1, features.shape[1], device=device)
        gradients = torch.autograd.grad(weighted.sum(), [outputs[name] for name in names], allow_unused=True)
    relevant = [
        name
        for name, gradient in zip(names, gradients, strict=True)
        if (maps := as_maps(gradient)) is not None and maps.any()
    ]
    return relevant[-1]


def gradcam(
    network: nn.Module,
    layers: Sequence[str],
    score: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    classes: torch.Tensor,
) -> torch.Tensor:
    """Heat maps [n, side, side] in [0, 1] of normalized ``images`` [n, 3, side, side].

    ``classes`` int64 [n]: the class that each map is for. ``score``: features [n, dimensions] to scores
    before softmax [n, classes]; after it, a map would also show what speaks against the other classes. Of
    several ``layers``, one in each of the networks that are joined, the maps are added. Each sum is scaled to
    its own maximum; where nothing speaks for the class it is zero.
    """
    with torch.enable_grad(), recorded(network, layers) as outputs:
        scores = score(network(images.clone().requires_grad_()))
        chosen = scores.gather(1, classes.unsqueeze(1)).sum()
        gradients = torch.autograd.grad(chosen, [outputs[layer] for layer in layers])
    heat = torch.zeros(len(images), *images.shape[-2:], device=images.device)
    for layer, each in zip(layers, gradients, strict=True):
        maps, gradient = as_maps(outputs[layer]), as_maps(each)
        assert maps is not None and gradient is not None, f"{layer} has no maps"  # noqa: PT018 (for mypy)
        weights = gradient.mean((2, 3), keepdim=True)
        part = (weights * maps).sum(1, keepdim=True).relu().detach()
        heat += functional.interpolate(part, heat.shape[1:], mode="bilinear", align_corners=False).squeeze(1)
    return heat / heat.amax((1, 2), keepdim=True).clamp_min(1e-12)


class Explainer:
    """Grad-CAM of a classifier's pictures, as its networks see them.

    ``layers``: the target layer of each joined network.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.network, self.preprocessing = classifier.network, classifier.preprocessing
        engines = [each.engine for each in classifier.extractors]
        self.layers = [target_layer(each.network, each.preprocessing.crop) for each in engines]

    def heat(self, crops: torch.Tensor, labels: Sequence[str]) -> np.ndarray:
        """Heat maps [n, side, side] in [0, 1], for the ``labels``, of uint8 crops [n, 3, side, side]."""
        surrogate, several = self.classifier.head.surrogate(), len(self.layers) > 1
        paths = [f"networks.{at}.{layer}" if several else layer for at, layer in enumerate(self.layers)]
        classes = torch.tensor([self.classifier.classes.index(each) for each in labels])
        normalized = self.preprocessing.normalize(crops.to(self.classifier.device).float() / 255)
        heat = gradcam(
            self.network, paths, lambda features: surrogate.uncalibrated(features.cpu()), normalized, classes
        )
        return heat.cpu().numpy()


def explain(classifier: Classifier, mistakes: pd.DataFrame, raw: Path) -> tuple[list[str], list[Tile]]:
    """The target layer of each joined network, and three tiles for each mistake.

    These are the picture, and Grad-CAM for prediction and label.

    ``mistakes``: path under ``raw``, image_id, label, predicted, probability, probabilities.
    """
    explainer = Explainer(classifier)
    files = [raw / path for path in mistakes["path"]]
    rows = mistakes.to_dict("records")
    tiles: list[Tile] = []
    for (images,) in batches(files, explainer.preprocessing, 1, BATCH):
        batch = rows[len(tiles) // 3 :][: len(images)]
        heat = {
            column: explainer.heat(images, [row[column] for row in batch])
            for column in ("predicted", "label")
        }
        for at, row in enumerate(batch):
            picture = np.ascontiguousarray(images[at].permute(1, 2, 0).numpy())
            of_label = float(row["probabilities"][classifier.classes.index(row["label"])])
            tiles.append(Tile(picture, [display_name(row["label"]), str(row["image_id"])]))
            for column, what, probability in (
                ("predicted", "predicted", row["probability"]),
                ("label", "true label", of_label),
            ):
                lines = [f"for {display_name(row[column])}", f"{what}, {percent(probability)}"]
                tiles.append(Tile(overlay(picture, heat[column][at]), lines))
    return explainer.layers, tiles


def figure(
    classifier: Classifier, backbone: str, dataset: str, layers: Sequence[str], tiles: list[Tile]
) -> Figure:
    """The figure of `explain`'s ``tiles``; ``dataset`` as captions name it."""
    places = []
    for name, each, layer in zip(parts(backbone), classifier.extractors, layers, strict=True):
        words = in_words(layer, list(with_maps(each.engine.network, each.engine.preprocessing.crop)))
        places.append(f"the maps of {layer} ({f'{name}, ' if layers[1:] else ''}{words})")
    caption = (
        "Grad-CAM (Selvaraju et al., 2017) on the most confident mistakes among the test images of "
        f"{dataset}: the picture as the network sees it, then what raised the score of the predicted class, "
        f"then of the true one, at {' and '.join(places)}{', added up' if layers[1:] else ''}. Yellow raised "
        "it most. Each map is scaled to its own maximum; in one that is dark all over, nothing raised the "
        "score."
    )
    if classifier.views > 1:
        caption += f" A map is of the one view shown; the probability is that of {classifier.views} views."
    if classifier.head.has_surrogate:
        caption += " This head has no useful gradient, so the score is that of a smooth surrogate."
    title = f"Where {backbone} with the {classifier.head.name} head looked when it was wrong"
    return Figure("mistakes", title, caption, tiles, columns=6)
