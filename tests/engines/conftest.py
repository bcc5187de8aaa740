"""A backbone and pictures for every engine."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pets.backbones.base import Backbone
from pets.backbones.build import build


@pytest.fixture(scope="module")
def lite() -> Backbone:
    return build("efficientnet_lite0", Path("weights"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    paths = []
    for number in range(20):
        pixels = generator.integers(0, 256, (12, 9 + number, 3), dtype=np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(pixels).resize((200 + number, 180), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths
