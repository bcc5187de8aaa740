"""embed's engine against the loop of most tutorials: a DataLoader, torchvision's transforms, float32."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.table import compare
from pets.backbones.build import build
from pets.engines.pytorch import Engine
from pets.images.batches import batches

IMAGES = 256
SIZE = (375, 500)  # height, width: like the official Pets


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = _pictures(Path(folder, "photos"))
        network = build("efficientnet_lite0", Path("weights"))
        preprocessing = network.preprocessing
        transform = v2.Compose(
            [
                v2.Resize(preprocessing.resize, v2.InterpolationMode.BICUBIC, antialias=True),
                v2.CenterCrop(preprocessing.crop),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(preprocessing.mean, preprocessing.std),
            ]
        )
        loader = DataLoader(ImageFolder(folder, transform), batch_size=32, num_workers=2)
        plain = build("efficientnet_lite0", Path("weights")).features

        def instead() -> np.ndarray:
            with torch.inference_mode():
                return torch.cat([plain(batch) for batch, _ in loader]).numpy()

        # The engine tunes the process's allocator for both sides: between two processes the ratio is larger.
        engine = Engine(network, "auto", "auto")

        def ours() -> np.ndarray:
            return np.concatenate(list(engine.run(batches(files, preprocessing, 1, engine.batch_size))))

        a, b = ours(), instead()
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        compare(f"embed {IMAGES} photos, lite0, {engine.precision}", ours, instead)
        print(f"  cosine between the two: mean {cosine.mean():.5f}")


def _pictures(folder: Path) -> list[Path]:
    folder.mkdir()
    generator = np.random.default_rng(0)
    files = [folder / f"{number:03}.jpg" for number in range(IMAGES)]  # in the order of their names
    for file in files:
        noise = generator.integers(0, 256, (SIZE[0] // 16, SIZE[1] // 16, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(SIZE[::-1], Image.Resampling.BICUBIC).save(file, quality=90)
    return files
