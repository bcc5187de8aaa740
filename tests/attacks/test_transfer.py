"""Pictures for transfer, their control, and what they do, on a tiny classifier."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pandas as pd
import pytest
import torch

from pets.attacks.settings import Transfer
from pets.attacks.transfer import add_noise, make_pictures, measure
from pets.classifier.classifier import Classifier
from pets.images.decoding import decode
from pets.images.png import save_png
from pets.images.preprocessing import to_tensor
from tests.classifier.tiny import CLASSES, pictures, tiny_classifier

EPSILON = 8 / 255


def saved(folder: Path, count: int) -> tuple[pd.DataFrame, torch.Tensor]:
    """Test images in a folder, a row each, and their classes, those that the tiny classifier predicts."""
    classes = tiny_classifier().probabilities(pictures(count)).argmax(1)
    for number, picture in enumerate(pictures(count)):
        save_png(picture, folder / f"{number}.png")
    labels = [CLASSES[place] for place in classes]
    names = [f"{number}" for number in range(count)]
    return pd.DataFrame(
        {"image_id": names, "label": labels, "path": [f"{name}.png" for name in names]}
    ), classes


def read(file: Path) -> torch.Tensor:
    return to_tensor(decode(file.read_bytes()).pixels).int()


def test_only_the_first_images_are_attacked_within_epsilon(tmp_path: Path) -> None:
    test, classes = saved(tmp_path, 6)
    (tmp_path / "pictures").mkdir()
    classifier = tiny_classifier()
    settings = Transfer(images=4, epsilon=EPSILON, steps=8)
    make_pictures(classifier, test, settings, tmp_path, tmp_path / "pictures")
    files = [tmp_path / "pictures" / f"{number}.png" for number in range(4)]
    assert sorted((tmp_path / "pictures").iterdir()) == files
    after = classifier.probabilities_of_files(files)
    before = classifier.probabilities_of_files([tmp_path / path for path in test["path"][:4]])
    rows = torch.arange(4)
    assert (after[rows, classes[:4]] < before[rows, classes[:4]]).all()
    for number, file in enumerate(files):
        assert (read(file) - read(tmp_path / f"{number}.png")).abs().max() == 8


def test_noise_changes_every_value_by_epsilon_and_is_the_same_each_time(tmp_path: Path) -> None:
    originals = [(255 * picture).round().byte() for picture in pictures(3)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = (add_noise(originals, EPSILON, 7, tmp_path / name) for name in ("a", "b"))
    for original, file, again in zip(originals, one, other, strict=True):
        change = read(file) - original.int()
        inside = (original >= 8) & (original <= 247)
        assert set(change[inside].tolist()) == {-8, 8}
        assert abs(float(change[inside].float().mean())) < 2
        assert file.read_bytes() == again.read_bytes()


class ByName:
    """A classifier that predicts the class which a file is named after."""

    def probabilities_of_files(self, files: Sequence[Path]) -> torch.Tensor:
        return torch.eye(4)[[CLASSES.index(file.stem) for file in files]]


def measured(labels: list[str], originals: list[str], **sources: list[str]) -> pd.DataFrame:
    """The shares by source, all pictures given by the names of their predicted classes."""
    done: list[int] = []
    table = measure(
        cast(Classifier, ByName()),
        [Path(f"{name}.jpg") for name in originals],
        torch.tensor([CLASSES.index(label) for label in labels]),
        {source: [Path(f"{name}.png") for name in names] for source, names in sources.items()},
        done.append,
    )
    assert done == [len(labels)] * (1 + len(sources))
    return table


def test_only_images_that_were_classified_correctly_count() -> None:
    labels = ["pug", "pug", "beagle", "Bengal", "Siamese"]
    originals = ["beagle", *labels[1:]]  # the first is misclassified without an attack
    table = measured(
        labels, originals, a=["beagle", "beagle", "beagle", "pug", "pug"], b=["pug", *labels[1:]]
    )
    assert table["source"].tolist() == ["a", "b"]
    assert table["images"].tolist() == [4, 4]
    assert table["fooled"].tolist() == [3 / 4, 0]
    assert table["low"].tolist() == pytest.approx([0.3006, 0], abs=1e-4)
    assert table["high"].tolist() == pytest.approx([0.9544, 0.4899], abs=1e-4)


def test_without_a_correctly_classified_image_there_is_no_share() -> None:
    table = measured(["pug"], ["beagle"], a=["beagle"])
    assert table["images"].tolist() == [0]
    assert table[["fooled", "low", "high"]].isna().all(axis=None)
