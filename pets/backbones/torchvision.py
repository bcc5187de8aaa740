"""torchvision's classification networks, with its own weights and the preprocessing that belongs to them."""

import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
import torchvision.models
from torch import nn
from torchvision.models import WeightsEnum

from pets.backbones.base import Backbone, load_weights
from pets.core.errors import TemporaryError, UserError
from pets.core.files import checksum
from pets.core.names import VGG_LAYERS
from pets.images.preprocessing import Preprocessing

# These two were trained with an auxiliary classifier, on [-1, 1]; torchvision sets this only when it
# downloads the weights.
TRAINED_DIFFERENTLY: dict[str, Any] = {"transform_input": True, "aux_logits": True, "init_weights": False}
ONE_SIZE = ("vit_", "maxvit_")  # transformers that take images of one size only


def build(name: str, weights: Path) -> Backbone:
    """The network of that name up to the input of its classifier; ``vgg16`` gives its pooled convolutions.

    The features of ``vgg16-25088`` are the flattened convolutions, those of ``vgg16-4096`` the classifier's
    last hidden layer (after ReLU). ``resnet50-IMAGENET1K_V1`` has these weights, other names torchvision's
    default ones; they are read from the folder ``weights``, where they are downloaded on first use.
    """
    architecture, _, variant = name.partition("-")
    listed = torchvision.models.get_model_weights(architecture)
    chosen = listed[variant] if variant in listed.__members__ else listed.DEFAULT
    file = weights_file(name, chosen, weights)
    options = TRAINED_DIFFERENTLY if architecture in ("googlenet", "inception_v3") else {}
    if architecture.startswith("vit_"):
        options = {"image_size": chosen.meta["min_size"][0]}
    network = torchvision.models.get_model(architecture, weights=None, **options)
    load_weights(network, file)
    features, imagenet, layer = _cut(network, architecture, variant)
    return Backbone(
        name=name,
        features=features,
        layer=layer,
        preprocessing=preprocessing_of(chosen, architecture),
        weights_file=file.name,
        weights_sha256=checksum(file),
        imagenet=None if variant == "IMAGENET1K_FEATURES" else imagenet,  # whose classifier is not a number
    )


def weights_file(name: str, chosen: WeightsEnum, folder: Path) -> Path:
    """The file of these weights in ``folder``, downloaded if it is not there, its sha256 as its name says."""
    url = chosen.url
    file = folder / url.rpartition("/")[2]
    expected = re.search(r"-([0-9a-f]{8,})\.", file.name)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), hash_prefix=expected[1] if expected else None)
        except (URLError, OSError, RuntimeError) as error:
            raise TemporaryError(
                f"the weights of {name} are not at {file} and could not be downloaded ({error}).\n"
                f"Fetch {url} and put it there, or leave {name} out of run.backbones in params.yaml."
            ) from None
    elif expected and not (found := checksum(file)).startswith(expected[1]):
        raise UserError(
            f"{file} is damaged: its sha256 begins with {found[: len(expected[1])]}, not with {expected[1]}. "
            f"Delete it, and it will be downloaded again."
        )
    return file


def preprocessing_of(chosen: WeightsEnum, architecture: str) -> Preprocessing:
    """The preprocessing that these weights were evaluated with, as torchvision states it."""
    preset = chosen.transforms()
    resize, crop = preset.resize_size[0], preset.crop_size[0]
    return Preprocessing(
        resize=resize,
        crop=crop,
        whole=crop if architecture.startswith(ONE_SIZE) else resize,
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def _cut(network: Any, architecture: str, variant: str) -> tuple[nn.Module, nn.Module, str]:
    """Features, the complete network from images to logits, and what the features are."""
    if architecture.startswith("squeezenet") or (
        architecture.startswith("vgg") and variant not in VGG_LAYERS
    ):
        pooled = nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        # The classifier of these sees more than the pooled features: VGG's the 7 x 7 grid before pooling.
        after = [network.avgpool, nn.Flatten()] if architecture.startswith("vgg") else []
        imagenet = nn.Sequential(network.features, *after, network.classifier, nn.Flatten())
        return pooled, imagenet, "pooled output of the last convolution"
    if variant == "25088":
        flattened = nn.Sequential(network.features, network.avgpool, nn.Flatten())
        imagenet = nn.Sequential(flattened, network.classifier)
        return flattened, imagenet, "flattened output of the last convolution"
    # In every other network the last linear layer is the classifier, and its input the features.
    path = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, last = path.rpartition(".")
    classifier = network.get_submodule(path)
    setattr(network.get_submodule(parent), last, nn.Identity())
    return network, nn.Sequential(network, classifier), f"input of the classifier ({path})"
