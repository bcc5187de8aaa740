"""Any network of timm (Wightman: PyTorch Image Models, 2019), with its pretrained weights.

timm builds it, and its configuration says how pictures are prepared. Weights are read from safetensors only,
so that no file can run code.
"""

from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from timm.data import resolve_data_config
from timm.models import PretrainedCfg
from torch import nn

from pets.backbones.base import Backbone
from pets.core.errors import TemporaryError, UserError
from pets.core.files import checksum
from pets.images.preprocessing import Preprocessing

constants.HF_HUB_DISABLE_TELEMETRY = True  # a download reports nothing but itself

IMAGENET = 1000  # classes: timm keeps them in ImageNet's order
HUB_FILE = "model.safetensors"
# What timm raises at a file of another network, or at a size that this one can't have.
WRONG = (SafetensorError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError)
UNAVAILABLE: tuple[type[Exception], ...] = (
    *HfHubHTTPError.__bases__,
    EntryNotFoundError,
)  # the bases are all that goes wrong with HTTP


class _Features(nn.Module):
    """The network up to the input of its classifier: [n, 3, crop, crop] to [n, dimensions]."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network.forward_head(
            self.network.forward_features(images), pre_logits=True
        )
        return features


def build(name: str, weights: Path) -> Backbone:
    """timm's network of the name ``timm/<network>.<weights>``, or with its default weights if none are named.

    Its features are the pooled ones before the classifier. ``timm/<network>.<weights>-224`` takes pictures
    of that many pixels instead of its own size, if the network can. For the weights see `weights_file`.
    Raises UserError where timm has no such weights, or the network takes other pictures than square RGB ones.
    """
    plain, _, side = name.removeprefix("timm/").partition("-")
    cfg = _configuration(name, plain)
    size = (3, int(side), int(side)) if side else cfg.input_size
    preprocessing = preprocessing_of(name, cfg, size)
    file = weights_file(name, cfg, weights)
    overlay = {"file": str(file), "custom_load": False, "input_size": size}
    options: dict[str, Any] = {"img_size": size[1]} if side and cfg.fixed_input_size else {}
    network: Any
    try:
        network = timm.create_model(plain, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    except WRONG as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{file} does not hold weights of {name}: {reason}") from None
    features = _Features(network)
    return Backbone(
        name=name,
        features=features,
        layer="pooled input of the classifier",
        preprocessing=preprocessing,
        weights_file=_file_name(cfg),
        weights_sha256=checksum(file),
        imagenet=network if cfg.num_classes == IMAGENET else None,
    )


def _configuration(name: str, plain: str) -> PretrainedCfg:
    """timm's configuration of pretrained weights that a file of safetensors can hold, and pictures of RGB."""
    try:
        cfg = timm.get_pretrained_cfg(plain, allow_unregistered=False)
    except RuntimeError as error:
        raise UserError(
            f"timm has no {name} ({error}); `timm.list_models(pretrained=True)` lists all."
        ) from None
    if cfg is None or not cfg.has_weights:
        raise UserError(
            f"timm has no pretrained weights for {name}; `timm.list_models(pretrained=True)` lists all."
        )
    channels, height, width = cfg.input_size
    if channels != 3 or height != width:
        raise UserError(
            f"{name} takes pictures of {channels} channels, {height} x {width} pixels, and here they have 3 "
            "and are square; choose another backbone."
        )
    return cfg


def preprocessing_of(name: str, cfg: PretrainedCfg, size: tuple[int, int, int]) -> Preprocessing:
    """timm's own evaluation preprocessing for inputs of ``size``; UserError for one that pads pictures."""
    config = resolve_data_config({"input_size": size}, pretrained_cfg=cfg.to_dict())
    crop = size[1]
    resize = int(crop / config["crop_pct"])
    if config["crop_mode"] not in ("center", "squash") or resize < crop:
        raise UserError(
            f"{name} was trained on pictures with a border (crop_mode {config['crop_mode']}, crop_pct "
            f"{config['crop_pct']}), and none is added here; choose another backbone."
        )
    return Preprocessing(
        resize=resize,
        crop=crop,
        whole=crop if cfg.fixed_input_size else resize,
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        squash=config["crop_mode"] == "squash",
    )


def weights_file(name: str, cfg: PretrainedCfg, folder: Path) -> Path:
    """``folder``/<network>.<weights>.safetensors, or the file in the Hugging Face hub's own cache.

    There it is downloaded on first use. Raises TemporaryError where it can't be had.
    """
    own = folder / _file_name(cfg)
    if own.exists():
        return own
    if not cfg.hf_hub_id:
        raise UserError(f"the weights of {name} are not on the Hugging Face hub; convert {cfg.url} to {own}.")
    try:
        return Path(hf_hub_download(cfg.hf_hub_id, HUB_FILE, local_files_only=True))
    except LocalEntryNotFoundError:
        pass  # not in the cache yet
    url = hf_hub_url(cfg.hf_hub_id, HUB_FILE)
    try:
        get_hf_file_metadata(url)  # where nothing answers, this fails at once, and a download after 20 s
        return Path(hf_hub_download(cfg.hf_hub_id, HUB_FILE))
    except UNAVAILABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise TemporaryError(
            f"the weights of {name} are not at {own} and could not be downloaded ({reason}).\n"
            f"Fetch {url} and put it there, or leave {name} out of run.backbones in params.yaml."
        ) from None


def _file_name(cfg: PretrainedCfg) -> str:
    return ".".join([*filter(None, (cfg.architecture, cfg.tag)), "safetensors"])
