"""Do adversarial pictures made on one backbone fool another? The pictures, a control, and the measurement."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pets.attacks.objective import canvas, cut, misclassify
from pets.attacks.pgd import pgd, step_within
from pets.attacks.pictures import batch_by_batch, classes_of, read_pictures
from pets.attacks.quantization import quantize
from pets.attacks.settings import Transfer
from pets.classifier.classifier import Classifier
from pets.core.progress import progress_bar
from pets.dataset import file_stem
from pets.images.png import save_png
from pets.metrics.metrics import wilson


def make_pictures(
    classifier: Classifier, test: pd.DataFrame, settings: Transfer, raw: Path, folder: Path
) -> None:
    """Attack the first test images, untargeted and by all steps, and save them as <file_stem>.png."""
    chosen = test.head(settings.images)
    labels = classes_of(chosen, classifier.classes)
    pictures = read_pictures(chosen, raw)
    with progress_bar(len(chosen), "pictures for transfer") as progress:

        def work(batch: list[int]) -> None:
            originals, sizes = canvas([pictures[row] for row in batch])
            found = pgd(
                misclassify(classifier, sizes, labels[batch], targeted=False),
                originals,
                norm="linf",
                epsilon=settings.epsilon,
                step=step_within(settings.epsilon),
                steps=settings.steps,
                confidence=float("inf"),
            )
            saved = quantize(found.images, originals, settings.epsilon)
            for picture, image_id in zip(cut(saved, sizes), chosen["image_id"].iloc[batch], strict=True):
                save_png(picture, folder / f"{file_stem(image_id)}.png")
            progress.update(len(batch))

        batch_by_batch(classifier, pictures, work)


def add_noise(pictures: Sequence[torch.Tensor], epsilon: float, seed: int, folder: Path) -> list[Path]:
    """Save pictures uint8 [3, height, width] with each value changed by plus or minus ``epsilon``."""
    generator = torch.Generator().manual_seed(seed)
    files = []
    for number, picture in enumerate(pictures):
        signs = torch.randint(0, 2, picture.shape, generator=generator) * 2 - 1
        files.append(folder / f"{number}.png")
        save_png((picture.float() / 255 + epsilon * signs).clamp(0, 1), files[-1])
    return files


def measure(
    classifier: Classifier,
    originals: Sequence[Path],
    labels: torch.Tensor,
    sources: Mapping[str, Sequence[Path]],
    update: Callable[[int], object],
) -> pd.DataFrame:
    """The share of each source's pictures that fool the classifier: source, images, fooled, low, high.

    ``sources`` have a file for each of the ``originals``, in their order, whose classes are ``labels``
    [n]. Of these, ``images`` are classified correctly, and the share and its 95% interval are of them.
    """
    correct = classifier.probabilities_of_files(originals).argmax(1) == labels
    update(len(originals))
    rows = []
    for source, files in sources.items():
        fooled = correct & (classifier.probabilities_of_files(files).argmax(1) != labels)
        rows.append({"source": source, **_share(int(fooled.sum()), int(correct.sum()))})
        update(len(files))
    return pd.DataFrame(rows)


def _share(fooled: int, images: int) -> dict[str, float]:
    if not images:
        return {"images": 0, "fooled": float("nan"), "low": float("nan"), "high": float("nan")}
    low, high = wilson(np.array([fooled]), np.array([images]))
    return {"images": images, "fooled": fooled / images, "low": float(low[0]), "high": float(high[0])}
