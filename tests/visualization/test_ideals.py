import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pets.core.errors import UserError
from pets.visualization.activation_maximization import Ideal
from pets.visualization.breed_ideals import targets
from pets.visualization.ideals import NamedIdeal, Sheet, save_and_classify, stem

SPLITS = pd.DataFrame({"label": ["pug", "Bengal", "beagle"], "species": ["dog", "cat", "dog"]})
CLASSES = ["Bengal", "beagle", "pug"]


def grey(value: float, non_finite: bool = False) -> Ideal:
    return Ideal(torch.full((3, 8, 8), value), non_finite, torch.zeros(0, 3, 8, 8, dtype=torch.uint8))


def test_a_non_finite_ideal_is_neither_saved_nor_shown(tmp_path: Path) -> None:
    """The others are classified from their files, by the sum over their classes."""
    ideals = [
        NamedIdeal("00-cat", "cat", "cat", [0, 1], grey(0.2)),
        NamedIdeal("01-dog", "dog", "dog", [2], grey(0.4, non_finite=True)),
        NamedIdeal("02-pug", "pug", "pug", [2], grey(0.8)),
    ]

    def classify(files: list[Path]) -> torch.Tensor:
        levels = [float(np.asarray(Image.open(file)).mean()) for file in files]
        return torch.tensor([[0.1, level / 255, 0.3] for level in levels], dtype=torch.float64)

    probabilities = save_and_classify(ideals, tmp_path / "pictures", classify)  # type: ignore[arg-type]
    assert probabilities == pytest.approx({"00-cat": 0.1 + 0.2, "02-pug": 0.3})
    assert json.loads((tmp_path / "pictures/ideals.json").read_text()) == [
        {"file": "00-cat.png", "name": "cat", "places": [0, 1]},
        {"file": "02-pug.png", "name": "pug", "places": [2]},
    ]
    sheet = Sheet("ideals", "Ideals", "By a test.", ideals, columns=3)
    assert sheet.by_label(probabilities) == pytest.approx({"cat": 0.3, "pug": 0.3})
    figure = sheet.figure(probabilities, 16)
    assert [tile.lines for tile in figure.tiles] == [["cat", "30.0%"], ["pug", "30.0%"]]
    assert figure.caption.endswith("Not shown: 1 whose loss or gradient was not finite.")
    assert "Not shown" not in Sheet("ideals", "", "", ideals[:1], 3).figure(probabilities, 16).caption


def test_species_come_before_breeds() -> None:
    expected = {"cat": [0], "dog": [1, 2], "Bengal": [0], "beagle": [1], "pug": [2]}
    assert targets(SPLITS, CLASSES, "all", "pets") == expected
    assert list(targets(SPLITS, CLASSES, "all", "pets")) == list(expected)


@pytest.mark.parametrize("species", ["dog", None])
def test_one_species_or_none_known_leaves_the_breeds(species: str | None) -> None:
    splits = SPLITS.assign(species=species)
    assert targets(splits, CLASSES, "all", "pets") == {"Bengal": [0], "beagle": [1], "pug": [2]}


def test_wanted_breeds_come_in_their_order() -> None:
    assert targets(SPLITS, CLASSES, ["pug", "cat"], "pets") == {"pug": [2], "cat": [0]}
    with pytest.raises(UserError, match="names 'pugg', which is not in pets; did you mean 'pug'"):
        targets(SPLITS, CLASSES, ["pugg"], "pets")


@pytest.mark.parametrize("name", ["../../etc/passwd", "jack-o'-lantern", "", "a/b\\c", "größe"])
def test_a_stem_is_a_plain_file_name(name: str) -> None:
    assert Path(stem(3, name)).name == stem(3, name)
    assert stem(3, name) != stem(4, name)
