"""The attacks on saved pictures, against a tiny classifier."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pets.attacks.gallery import attack, attack_goals
from pets.attacks.goals import choose_goals
from pets.attacks.methods import methods
from pets.attacks.settings import Curve, Settings, Transfer
from pets.attacks.summary import compare, summarize
from pets.engines import memory
from pets.images.png import save_png
from tests.classifier.tiny import CLASSES, pictures, tiny_classifier

SPECIES = ["cat", "cat", "dog", "dog"]


def settings(epsilon: float, epsilon_l2: float, steps: int) -> Settings:
    """The section, with few steps."""
    return Settings(
        gallery=2, epsilon=epsilon, epsilon_l2=epsilon_l2, steps=steps, total_variation=0.1,
        minimum_norm_steps=10,
        curve=Curve(images=1, epsilons=[0.02], steps=1, reference_steps=1, reference_restarts=0),
        transfer=Transfer(images=1, epsilon=0.02, steps=1),
    )  # fmt: skip


def saved(folder: Path, count: int) -> pd.DataFrame:
    """Test images in a folder: a row each, labelled as the tiny classifier predicts."""
    rows = []
    predicted = tiny_classifier().probabilities(pictures(count)).argmax(1).tolist()
    for number, (picture, label) in enumerate(zip(pictures(count), predicted, strict=True)):
        save_png(picture, folder / f"{number}.png")
        name, species = CLASSES[label], SPECIES[label]
        rows.append({"image_id": f"{number}", "label": name, "species": species, "path": f"{number}.png"})
    return pd.DataFrame(rows)


def test_every_saved_picture_lies_within_its_bound(tmp_path: Path) -> None:
    test = saved(tmp_path, 6)
    classifier = tiny_classifier()
    probabilities = classifier.probabilities_of_files([tmp_path / path for path in test["path"]]).numpy()
    goal = choose_goals(test, probabilities, CLASSES, 6)[-1]
    every = methods(settings(4 / 255, 0.05, 10))
    (tmp_path / "saved").mkdir()
    outcomes = attack(classifier, goal, every, tmp_path, tmp_path / "saved", lambda done: None)
    facts = pd.DataFrame([each.facts for each in outcomes]).groupby("attack")
    assert facts.size().to_dict() == dict.fromkeys(facts.groups, 6)
    assert facts["levels"].max()[["PGD", "FGSM"]].max() <= 4
    assert facts["l2"].max()["L2-PGD"] <= 0.05 + 1e-6


def test_pictures_of_many_sizes_in_many_batches_end_as_they_do_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = saved(tmp_path, 8)
    for number, path in enumerate(test["path"]):
        with Image.open(tmp_path / path) as image:
            image.crop((0, 0, 16 - number % 3, 16 - number % 2)).save(tmp_path / path)
    classifier = tiny_classifier()
    probabilities = classifier.probabilities_of_files([tmp_path / path for path in test["path"]]).numpy()
    test["label"] = [CLASSES[place] for place in probabilities.argmax(1)]
    goal = choose_goals(test, probabilities, CLASSES, 8)[-1]
    places = [CLASSES.index(label) for label in goal.images["label"]]
    targets = [CLASSES[(place + 1 + row % 3) % 4] for row, place in enumerate(places)]
    goal = replace(goal, images=goal.images.assign(target=targets))
    (tmp_path / "saved").mkdir()
    pgd = methods(settings(0.3, 0.05, 20))[:1]

    def facts(images: pd.DataFrame, update: Callable[[int], object]) -> pd.DataFrame:
        some = replace(goal, images=images)
        outcomes = attack(classifier, some, pgd, tmp_path, tmp_path / "saved", update)
        return pd.DataFrame([each.facts for each in outcomes])

    alone = pd.concat([facts(goal.images.iloc[[row]], lambda done: None) for row in range(8)])
    monkeypatch.setattr(memory, "PIXELS", 3 * 16 * 16)
    done: list[int] = []
    together = facts(goal.images, done.append)
    assert len(done) > 1
    pd.testing.assert_frame_equal(together, alone.reset_index(drop=True), rtol=1e-3, atol=1e-5)
    assert together["fooled"].sum() > 0
    assert together["target"].nunique() > 1


def test_attacks_are_compared_on_the_first_goal_that_has_pictures(tmp_path: Path) -> None:
    test = saved(tmp_path, 4)
    classifier = tiny_classifier()
    probabilities = classifier.probabilities_of_files([tmp_path / path for path in test["path"]]).numpy()
    full = choose_goals(test, probabilities, CLASSES, 2)[-1]
    empty = replace(full, name="dog to cat", images=full.images.head(0))
    (tmp_path / "saved").mkdir()
    every = methods(settings(0.02, 0.3, 3))
    outcomes = attack_goals(classifier, [empty, full], every, tmp_path, tmp_path / "saved")
    examples = pd.DataFrame([each.facts for each in outcomes])
    compared = compare(examples)
    assert compared["attack"].tolist() == [each.name for each in every]
    assert set(compared["images"]) == {2}
    curve = pd.DataFrame(
        [("PGD", 0.0, 1.0, 0), ("PGD", 1 / 255, 0.25, 1), ("APGD", 0.0, 1.0, 0), ("APGD", 1 / 255, 0.0, 0)],
        columns=["attack", "epsilon", "robust", "non_finite"],
    ).assign(images=12)
    summary = summarize(examples, curve, [empty, full], 2, surrogate=False)
    assert summary["fooled"] == {full.name: sum(examples["fooled"][:2]) / 2}
    assert summary["gallery"] == {"wanted": 2, "found": {"dog to cat": 0, full.name: 2}}
    assert summary["robust_accuracy"] == {"0/255": 1.0, "1/255": 0.0}
    assert summary["robust_accuracy_pgd"] == {"0/255": 1.0, "1/255": 0.25}
    assert summary["masked"] == ["1/255"]
    assert summary["non_finite"] == 1
    before = [each.facts for each in outcomes if each.facts["fooled_before_saving"]]
    assert summary["lost_in_saving"] == sum(not each["fooled"] for each in before) / max(1, len(before))


def test_without_pictures_the_summary_has_the_curve_only() -> None:
    curve = pd.DataFrame(
        [("PGD", 0.0, 1.0, 8, 1), ("APGD", 0.0, 1.0, 8, 0)],
        columns=["attack", "epsilon", "robust", "images", "non_finite"],
    )
    assert compare(pd.DataFrame()).empty
    summary = summarize(pd.DataFrame(), curve, [], 0, surrogate=True)
    assert (summary["fooled"], summary["lost_in_saving"], summary["non_finite"]) == ({}, 0.0, 1)
    assert summary["robust_accuracy"] == {"0/255": 1.0}
