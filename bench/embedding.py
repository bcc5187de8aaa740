"""embed's engines against the loop of most tutorials: a DataLoader, torchvision's transforms, float32."""

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
from pets.engines.choice import ENGINES
from pets.engines.pytorch import Engine
from pets.images.batches import batches

IMAGES = 256
SIZE = (375, 500)  # height, width: like the official Pets


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = _pictures(Path(folder, "photos"))
        plain = build("efficientnet_lite0", Path("weights"))
        preprocessing = plain.preprocessing
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

        def instead() -> np.ndarray:
            with torch.inference_mode():
                return torch.cat([plain.features(batch) for batch, _ in loader]).numpy()

        theirs = instead()
        # An engine tunes the process's allocator for all sides: between two processes the ratio is larger.
        for name, kind in ENGINES.items():
            engine = kind(build("efficientnet_lite0", Path("weights")), "cpu", "auto")

            def ours(engine: Engine = engine) -> np.ndarray:
                return np.concatenate(list(engine.run(batches(files, preprocessing, 1, engine.batch_size))))

            mine = ours()  # OpenVINO converts the network here, once
            cosine = (mine * theirs).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(theirs, axis=1)
            compare(f"embed {IMAGES} photos, lite0, {name}, {engine.precision}", ours, instead)
            print(f"  cosine between the two: mean {cosine.mean():.5f}")


def _pictures(folder: Path) -> list[Path]:
    folder.mkdir()
    generator = np.random.default_rng(0)
    files = [folder / f"{number:03}.jpg" for number in range(IMAGES)]  # in the order of their names
    for file in files:
        noise = generator.integers(0, 256, (SIZE[0] // 16, SIZE[1] // 16, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(SIZE[::-1], Image.Resampling.BICUBIC).save(file, quality=90)
    return files
