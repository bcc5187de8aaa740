"""From picture files to features, images a second: embed's engines beside what a user would write or pick.

Every side runs in a process of its own with its own defaults, in turn, and is timed once it is warm.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.workspace import ROOT

PETS = ROOT.parent / "shared" / "data" / "oxford-iiit-pet-subset" / "images.tar.gz"
IMAGES, WARM, ROUNDS = 768, 96, 3
BACKBONE = "efficientnet_lite0"


def main() -> None:
    """Print a row for each side, with the ratio of each of our engines' rates to it, for as many views."""
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch, "photos", "all")
        photos.mkdir(parents=True)
        kind = photographs(photos) if PETS.exists() else synthetic(photos)
        sides = [name for name in SIDES if name != "timm" or find_spec("timm")]
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name in sides:
                command = [sys.executable, "-m", "bench.embedding", name, str(photos)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                rates[name].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{IMAGES} {kind}, {BACKBONE}; medians of {ROUNDS} rounds, images a second, and ours over theirs")
    middle = {name: statistics.median(each) for name, each in rates.items()}
    for name, rate in middle.items():
        views = ", two views" if name.endswith("two views") else ""
        ratios = [(engine, middle[f"embed, {engine}{views}"] / rate) for engine in ("torch", "openvino")]
        print(f"{name:34} {rate:8.1f}", *(f"  {engine} {ratio:6.2f}x" for engine, ratio in ratios))
    if "timm" not in sides:
        print("timm: left out, it is not installed (`pip install timm`)")


def embed(engine: str, views: int) -> Callable[[Path], float]:
    """Our side."""

    def side(photos: Path) -> float:
        from pets.backbones.build import build
        from pets.engines.choice import ENGINES

        files = sorted(photos.iterdir())
        ours = ENGINES[engine](build(BACKBONE, Path("weights")), "cpu", "auto")
        return _rate(lambda first: sum(map(len, ours.vectors(files[:first], views))))

    return side


def notebook(photos: Path) -> float:
    """The loop of most tutorials: ImageFolder, torchvision's transforms, a DataLoader, float32."""
    from torchvision.transforms import v2

    from pets.backbones.build import build

    plain = build(BACKBONE, Path("weights"))
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
    return _by_loader(photos, transform, plain.features)


def timm(photos: Path) -> float:
    """timm's network of the same architecture, with random weights, and its own transforms."""
    from timm import create_model
    from timm.data import create_transform, resolve_data_config

    model = create_model(f"tf_{BACKBONE}", pretrained=False, num_classes=0).eval()
    return _by_loader(photos, create_transform(**resolve_data_config({}, model=model)), model)


def ceiling(photos: Path) -> float:
    """OpenVINO's own benchmark of the network alone, for throughput, in the precision that embed takes."""
    import openvino

    from pets.backbones.build import build
    from pets.engines.openvino import HINTS, OpenVino

    ours = OpenVino(build(BACKBONE, Path("weights")), "cpu", "auto")
    side = ours.preprocessing.crop
    with tempfile.TemporaryDirectory() as folder:
        model = ours.convert(torch.zeros(ours.batch_size, 3, side, side, dtype=torch.uint8))
        openvino.save_model(model, f"{folder}/network.xml", compress_to_fp16=False)
        options = ["-hint", "throughput", "-infer_precision", HINTS[ours.precision], "-t", "5"]
        command = ["benchmark_app", "-m", f"{folder}/network.xml", "-d", "CPU", *options]
        said = subprocess.check_output(command, text=True)
    return float(re.findall(r"Throughput:\s+([\d.]+) FPS", said)[0])


SIDES: dict[str, Callable[[Path], float]] = {
    "embed, torch": embed("torch", 1),
    "embed, openvino": embed("openvino", 1),
    "embed, torch, two views": embed("torch", 2),
    "embed, openvino, two views": embed("openvino", 2),
    "notebook": notebook,
    "timm": timm,
    "OpenVINO's benchmark, no pictures": ceiling,
}


def _by_loader(photos: Path, transform: Any, network: torch.nn.Module) -> float:
    from torch.utils.data import DataLoader, Subset
    from torchvision.datasets import ImageFolder

    folder = ImageFolder(photos.parent, transform)

    def run(first: int) -> None:
        loader = DataLoader(Subset(folder, range(first)), batch_size=32, num_workers=2)
        with torch.inference_mode():
            torch.cat([network(batch) for batch, _ in loader])

    return _rate(run)


def _rate(run: Callable[[int], object]) -> float:
    run(WARM)
    start = time.perf_counter()
    run(IMAGES)
    return IMAGES / (time.perf_counter() - start)


def photographs(folder: Path) -> str:
    import tarfile

    with tarfile.open(PETS) as archive:
        members = sorted((each for each in archive if each.name.endswith(".jpg")), key=lambda each: each.name)
        for member in members[::3][:IMAGES]:
            content = archive.extractfile(member)
            assert content
            Path(folder, Path(member.name).name).write_bytes(content.read())
    return "photographs of oxford-iiit-pet-subset"


def synthetic(folder: Path) -> str:
    generator = np.random.default_rng(0)
    for number in range(IMAGES):
        noise = generator.integers(0, 256, (23, 31, 3), dtype=np.uint8)
        large = Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC)
        large.save(folder / f"{number:03}.jpg", quality=90)
    return "synthetic pictures of 500 x 375 pixels"


if __name__ == "__main__":
    print(json.dumps(SIDES[sys.argv[1]](Path(sys.argv[2]))))
