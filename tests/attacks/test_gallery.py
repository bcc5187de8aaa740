"""Which test images are attacked, and what they are to be taken for."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from stages import attack, params
from stages.attacks import figure, gallery, parts
from stages.attacks.epsilon import Epsilon, in_levels
from stages.attacks.gallery import goals
from stages.attacks.reread import save
from stages.errors import UserError
from tests.attacks.tiny import pictures, victim
from tests.conftest import ROOT

CLASSES = ["Bengal", "Siamese", "beagle", "pug"]
SPECIES = ["cat", "cat", "dog", "dog"]


def images(each: int, species: bool = True) -> tuple[pd.DataFrame, np.ndarray]:
    """``each`` images of each class; every third is misread as the next class."""
    labels = np.tile(np.arange(4), each)
    rows = pd.DataFrame(
        {
            "image_id": [f"{CLASSES[label]}_{i}" for i, label in enumerate(labels)],
            "label": [CLASSES[label] for label in labels],
            "species": [SPECIES[label] if species else None for label in labels],
            "path": "",
        }
    )
    probabilities = np.full((len(labels), 4), 0.05)
    probabilities[np.arange(len(labels)), (labels + 1) % 4] = 0.2
    said = np.where(np.arange(len(labels)) % 3 == 0, (labels + 1) % 4, labels)
    probabilities[np.arange(len(labels)), said] = 0.7
    return rows, probabilities / probabilities.sum(1, keepdims=True)


def test_only_what_is_read_rightly_is_attacked_and_all_breeds_come_first() -> None:
    rows, probabilities = images(each=9)
    found = {goal.name: goal for goal in goals(rows, probabilities, CLASSES, 4)}
    assert list(found) == ["dog to cat", "cat to dog", "to its neighbour"]
    said = dict(zip(rows["image_id"], probabilities.argmax(1), strict=True))
    for goal in found.values():
        assert len(goal.images) == 4
        assert all(CLASSES[said[row.image_id]] == row.label for row in goal.images.itertuples())
    assert set(found["to its neighbour"].images["label"]) == set(CLASSES)
    assert set(found["dog to cat"].images["label"]) == {"beagle", "pug"}


def test_each_is_to_become_the_other_species_or_its_most_confused_neighbour() -> None:
    rows, probabilities = images(each=9)
    dogs, cats, neighbours = goals(rows, probabilities, CLASSES, 4)
    assert set(dogs.images["truth"]) == {"dog"}
    assert set(dogs.images["target"]) == {"cat"}
    assert set(cats.images["target"]) == {"dog"}
    following = dict(zip(CLASSES, [*CLASSES[1:], CLASSES[0]], strict=True))
    assert all(following[str(row.label)] == row.target for row in neighbours.images.itertuples())
    first = neighbours.images.iloc[0]
    at = list(rows["image_id"]).index(first["image_id"])
    assert first["truth_before"] == pytest.approx(probabilities[at, CLASSES.index(first["label"])])
    assert dogs.images.iloc[0]["target_before"] == pytest.approx(1 - dogs.images.iloc[0]["truth_before"])


def test_with_fewer_right_images_there_are_fewer_and_without_species_only_labels() -> None:
    rows, probabilities = images(each=3, species=False)
    (only,) = goals(rows, probabilities, CLASSES, 50)
    assert only.name == "to its neighbour"
    assert len(only.images) == 8


def saved(folder: Path, count: int) -> pd.DataFrame:
    """Test images in a folder: a row each, labelled as the tiny victim reads them."""
    rows = []
    said = victim().before_saving(pictures(count)).argmax(1).tolist()
    for number, (picture, label) in enumerate(zip(pictures(count), said, strict=True)):
        save(picture, folder / f"{number}.png")
        name, species = CLASSES[label], SPECIES[label]
        rows.append({"image_id": f"{number}", "label": name, "species": species, "path": f"{number}.png"})
    return pd.DataFrame(rows)


def test_every_saved_picture_lies_within_its_bound(tmp_path: Path) -> None:
    test = saved(tmp_path, 6)
    of = victim()
    probabilities = of.read([tmp_path / path for path in test["path"]]).numpy()
    goal = goals(test, probabilities, CLASSES, 6)[-1]
    methods = gallery.methods(4 / 255, 0.05, 10, 0.1, 10)
    (tmp_path / "saved").mkdir()
    outcomes = gallery.attack(of, goal, methods, tmp_path, tmp_path / "saved", lambda done: None)
    facts = pd.DataFrame([each.facts for each in outcomes]).groupby("attack")
    assert facts.size().to_dict() == dict.fromkeys(facts.groups, 6)
    assert facts["levels"].max()[["PGD", "FGSM"]].max() <= 4
    assert facts["l2"].max()["L2-PGD"] <= 0.05 + 1e-6


def test_pictures_of_many_sizes_in_many_parts_end_as_they_do_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = saved(tmp_path, 8)
    for number, path in enumerate(test["path"]):
        with Image.open(tmp_path / path) as image:
            image.crop((0, 0, 16 - number % 3, 16 - number % 2)).save(tmp_path / path)
    of = victim()
    probabilities = of.read([tmp_path / path for path in test["path"]]).numpy()
    test["label"] = [CLASSES[place] for place in probabilities.argmax(1)]
    goal = goals(test, probabilities, CLASSES, 8)[-1]
    places = [CLASSES.index(label) for label in goal.images["label"]]
    targets = [CLASSES[(place + 1 + row % 3) % 4] for row, place in enumerate(places)]
    goal = replace(goal, images=goal.images.assign(target=targets))
    (tmp_path / "saved").mkdir()
    pgd = gallery.methods(0.3, 0.05, 20, 0.1, 10)[:1]

    def facts(images: pd.DataFrame, update: Callable[[int], object]) -> pd.DataFrame:
        some = replace(goal, images=images)
        outcomes = gallery.attack(of, some, pgd, tmp_path, tmp_path / "saved", update)
        return pd.DataFrame([each.facts for each in outcomes])

    alone = pd.concat([facts(goal.images.iloc[[row]], lambda done: None) for row in range(8)])
    monkeypatch.setattr(parts, "PIXELS", 3 * 16 * 16)
    done: list[int] = []
    together = facts(goal.images, done.append)
    assert len(done) > 1
    pd.testing.assert_frame_equal(together, alone.reset_index(drop=True), rtol=1e-3, atol=1e-5)
    assert together["fooled"].sum() > 0
    assert together["target"].nunique() > 1


def test_attacks_are_compared_on_the_first_goal_that_has_pictures(tmp_path: Path) -> None:
    test = saved(tmp_path, 4)
    of = victim()
    probabilities = of.read([tmp_path / path for path in test["path"]]).numpy()
    full = goals(test, probabilities, CLASSES, 2)[-1]
    empty = replace(full, name="dog to cat", images=full.images.head(0))
    chosen = {"gallery": 2, "epsilon": 0.02, "epsilon_l2": 0.3, "steps": 3, "smallest_steps": 3}
    curve = {"images": 1, "epsilons": [0.02], "steps": 1, "reference_steps": 1, "reference_restarts": 0}
    transfer = {"images": 1, "epsilon": 0.02, "steps": 1}
    settings = attack.Settings(**chosen, total_variation=1.0, curve=curve, transfer=transfer)  # type: ignore[arg-type]
    (tmp_path / "saved").mkdir()
    outcomes = attack.attack_goals(of, [empty, full], settings, tmp_path, tmp_path / "saved")
    compared = attack.compare(outcomes)
    assert len(compared) == len(gallery.methods(0.02, 0.3, 3, 1.0, 3))


@pytest.mark.parametrize(
    ("written", "value"), [("4/255", 4 / 255), (0.5, 0.5), (0, 0), ("0.25/255", 0.25 / 255)]
)
def test_epsilons_are_fractions_or_numbers(written: object, value: float) -> None:
    assert TypeAdapter(Epsilon).validate_python(written) == pytest.approx(value)


@pytest.mark.parametrize("written", ["4/0", "four", "2/1", -0.1, None, "nan"])
def test_other_epsilons_are_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Epsilon).validate_python(written)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("attack.epsilon=5/2", r"'attack.epsilon' is '5/2': .*less than or equal to 1"),
        (
            "attack.curve.epsilons=[1/255, -0.1]",
            r"'attack.curve.epsilons.1' is -0.1: .*greater than or equal to 0",
        ),
        ("attack.epsilon=small", r"'attack.epsilon' is 'small': .*a fraction like 4/255"),
    ],
)
def test_a_wrong_epsilon_in_params_is_told_in_one_line(
    change: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    params.override([change])
    with pytest.raises(UserError, match=said) as caught:
        params.read("attack", attack.Settings)
    assert "\n" not in str(caught.value)


def test_epsilons_are_told_in_levels() -> None:
    assert in_levels(4 / 255) == "4/255"
    assert in_levels(0.125 / 255) == "0.125/255"


def test_a_change_is_magnified_as_far_as_it_fits() -> None:
    original = np.full((4, 5, 3), 100, np.uint8)
    result = original.copy()
    result[0, 0], result[1, 1] = 104, 97
    shown, factor = figure.magnified(original, result)
    assert factor == 31
    assert shown[0, 0, 0] == 128 + 4 * 31
    assert shown[1, 1, 0] == 128 - 3 * 31
    assert shown[3, 3, 0] == 128
    assert figure.magnified(original, original)[1] == 1


def test_a_caption_says_all_that_one_needs_to_know() -> None:
    facts = {
        "label": "american_bulldog", "image_id": "american_bulldog_7", "fooled": True, "truth": "dog",
        "target": "cat", "truth_before": 0.999, "target_before": 0.001, "truth_after": 0.02,
        "target_after": 0.98, "attack": "PGD", "constraint": "L-infinity at most 4/255", "steps": 3,
        "l2": 1.234, "levels": 3, "factor": 42, "given_up": False,
        "stand_in": False,
    }  # fmt: skip
    said = figure.caption(facts, "resnet50, linear head", drawn=False)
    for part in ("American bulldog", "taken for cat", "resnet50, linear head", "0.1%", "98.0%", "99.9%",
                 "PGD", "4/255", "found at step 3", "1.23", "42 times"):  # fmt: skip
        assert part in said
    assert "still not taken for cat" in figure.caption(facts | {"fooled": False}, "m", drawn=False)
    assert "given up" not in said
    assert "stand-in" not in said
    assert "a smooth stand-in" in figure.caption(facts | {"stand_in": True}, "m", False)
    assert "given up: the loss was not a number" in figure.caption(facts | {"given_up": True}, "m", False)
    assert "Drawn american bulldog" in figure.caption(facts, "m", drawn=True)
    sheet = figure.strip([np.zeros((40, 30, 3), np.uint8)] * 3, ["a", "b", "c"], said)
    assert sheet.width > 3 * 300
    assert "probability of cat <0.1% before" in figure.caption(facts | {"target_before": 1e-6}, "m", False)


def test_titles_name_the_truth_once_and_keep_to_their_picture() -> None:
    breed = "staffordshire_bull_terrier"
    facts = {"label": breed, "truth": breed, "target": "american_pit_bull_terrier", "truth_before": 0.999999,
             "target_after": 0.98, "factor": 42}  # fmt: skip
    titles = figure.titles(facts)
    assert titles[0] == "Staffordshire bull terrier: >99.9%"
    assert figure.titles(facts | {"truth": "dog"})[0] == "Staffordshire bull terrier: >99.9% dog"
    sheet = figure.strip([np.zeros((40, 320, 3), np.uint8)] * 3, [9 * titles[0], "", ""], "a caption")
    ink = np.asarray(sheet)[:, 14 + 320 : 2 * 14 + 320]  # the gap beside the first picture
    assert ink.min() == 255
