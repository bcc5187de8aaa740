"""torchvision's transformers in miniature, with random weights: for images of 32 pixels in patches of 4."""

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
