"""Transformers of torchvision and timm in miniature, with random weights: 32 pixels, in patches of 4."""

from typing import Any

import timm
import torch
from torchvision.models.swin_transformer import (
    PatchMerging,
    PatchMergingV2,
    SwinTransformer,
    SwinTransformerBlock,
    SwinTransformerBlockV2,
)
from torchvision.models.vision_transformer import VisionTransformer


def vision_transformer(blocks: int = 4) -> VisionTransformer:
    """Up to its features: 12 channels, 8 x 8 positions and the class token."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = VisionTransformer(32, 4, blocks, num_heads=2, hidden_dim=12, mlp_dim=24)
    network.heads = torch.nn.Identity()
    return network.eval().requires_grad_(False)


def swin(version: int = 1) -> SwinTransformer:
    """Up to its features: 12 channels and 8 x 8 positions, then 24 and 4 x 4."""
    block, merging = [
        (SwinTransformerBlock, PatchMerging),
        (SwinTransformerBlockV2, PatchMergingV2),
    ][version - 1]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = SwinTransformer(
            [4, 4],
            12,
            depths=[2, 2],
            num_heads=[2, 2],
            window_size=[4, 4],
            block=block,
            downsample_layer=merging,
        )
    network.head = torch.nn.Identity()
    return network.eval().requires_grad_(False)


def timms(name: str, **options: Any) -> torch.nn.Module:
    """timm's class of that name, up to the features: 12 channels, 8 x 8 positions in four blocks."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = getattr(timm.models, name)(
            img_size=32, patch_size=4, embed_dim=12, depth=4, num_heads=1, num_classes=0, **options
        )
    return network.eval().requires_grad_(False)


TIMMS = {
    "class token": timms("VisionTransformer"),
    "no token (SigLIP)": timms("VisionTransformer", class_token=False, global_pool="map"),
    "class token and registers (DINOv2)": timms("VisionTransformer", reg_tokens=4),
    "registers": timms("VisionTransformer", class_token=False, reg_tokens=4, global_pool="avg"),
    "rotary positions (EVA)": timms("Eva", use_rot_pos_emb=True),
}
