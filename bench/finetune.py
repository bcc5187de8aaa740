"""Fine-tuning, images a second: the stage's training beside most tutorials' loop, on the same pictures.

Both train all weights of EfficientNet-Lite0 by AdamW, with crops and mirroring at random, in this process, in
turn. The tutorial's loop decodes each picture in each epoch; ours decodes once, which is in its time.
"""

import statistics
import tempfile
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.embedding import PETS, photographs, synthetic
from bench.table import seconds
from pets.backbones.build import build
from pets.core.files import checksum
from pets.finetuning.finetune import finetune
from pets.finetuning.network import at_size
from pets.finetuning.pictures import Labelled
from pets.finetuning.settings import Settings

BACKBONE, SIDE, CLASSES, BATCH, EPOCHS, IMAGES, PAIRS = "efficientnet_lite0", 128, 4, 32, 3, 192, 3
HELD_OUT = 4  # the stage validates after each epoch, the tutorial's loop does not
SETTINGS = Settings(
    epochs=EPOCHS,
    learning_rate=1e-4,
    layer_decay=1,
    weight_decay=1e-2,
    batch_size=BATCH,
    size=SIDE,
    augment=True,
    label_smoothing=0.1,
    ema_decay=0.99,
    gradient_checkpointing=False,
    freeze_batch_norm=True,
)


def main() -> None:
    """Print the rates and their ratio, medians of pairs."""
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch, "photos")
        photos.mkdir()
        kind = photographs(photos) if PETS.exists() else synthetic(photos)
        files = sorted(photos.iterdir())
        for number, file in enumerate(files[:IMAGES]):
            of_class = Path(scratch, "classes", str(number % CLASSES))
            of_class.mkdir(parents=True, exist_ok=True)
            file.rename(of_class / file.name)
        folder = Path(scratch, "classes")
        validation = labelled(files[IMAGES : IMAGES + HELD_OUT])
        times = []
        for _ in range(PAIRS):
            train = labelled(sorted(folder.rglob("*.jpg")))
            times.append((seconds(lambda: ours(train, validation)), seconds(lambda: tutorial(folder))))  # noqa: B023
    images = IMAGES * EPOCHS
    mine, theirs = (images / statistics.median(each) for each in zip(*times, strict=True))
    ratio = statistics.median(b / a for a, b in times)
    print(f"{images} {kind} at {SIDE} px, images a second: {mine:.1f}, tutorial's {theirs:.1f}, {ratio:.2f}x")


def labelled(files: list[Path]) -> Labelled:
    return Labelled(files, [checksum(file) for file in files], torch.arange(len(files)) % CLASSES)


def ours(train: Labelled, validation: Labelled) -> None:
    backbone = at_size(build(BACKBONE, Path("weights")), SIDE)
    start = {"weight": torch.zeros(1280, CLASSES), "bias": torch.zeros(CLASSES)}
    with tempfile.TemporaryDirectory() as folder:
        finetune(backbone, start, train, validation, SETTINGS, 0, "auto", "auto", Path(folder, "scratch"))


def tutorial(folder: Path) -> None:
    backbone = at_size(build(BACKBONE, Path("weights")), SIDE)
    preprocessing = backbone.preprocessing
    transform = v2.Compose(
        [
            v2.Resize(preprocessing.resize, v2.InterpolationMode.BICUBIC, antialias=True),
            v2.RandomCrop(SIDE),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )
    loader = DataLoader(ImageFolder(folder, transform), BATCH, shuffle=True, num_workers=2)
    network = torch.nn.Sequential(backbone.features, torch.nn.Linear(1280, CLASSES))
    network.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    for _ in range(EPOCHS):
        for images, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images), labels, label_smoothing=0.1).backward()
            optimizer.step()
