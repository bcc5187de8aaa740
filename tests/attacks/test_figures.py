"""Figures of adversarial pictures, and their captions."""

import numpy as np

from pets.attacks.figures import caption, draw, magnified
from pets.attacks.gallery import Outcome
from pets.galleries.figures import GAP, MARGIN, Figure, Tile, sheet


def test_a_change_is_magnified_as_far_as_it_fits() -> None:
    original = np.full((4, 5, 3), 100, np.uint8)
    result = original.copy()
    result[0, 0], result[1, 1] = 104, 97
    shown, factor = magnified(original, result)
    assert factor == 31
    assert shown[0, 0, 0] == 128 + 4 * 31
    assert shown[1, 1, 0] == 128 - 3 * 31
    assert shown[3, 3, 0] == 128
    assert magnified(original, original)[1] == 1


def test_a_caption_has_every_fact() -> None:
    facts = {
        "label": "american_bulldog", "image_id": "american_bulldog_7", "fooled": True, "truth": "dog",
        "target": "cat", "truth_before": 0.999, "target_before": 0.001, "truth_after": 0.02,
        "target_after": 0.98, "attack": "PGD", "constraint": "L-infinity at most 4/255", "steps": 3,
        "l2": 1.234, "levels": 3, "factor": 42, "non_finite": False,
        "surrogate": False,
    }  # fmt: skip
    text = caption(facts, "resnet50, linear head", synthetic=False)
    for part in ("American bulldog", "classified as Cat", "resnet50, linear head", "0.1%", "98.0%", "99.9%",
                 "PGD", "4/255", "found at step 3", "1.23", "3 of 255 levels"):  # fmt: skip
        assert part in text
    assert "not classified as Cat" not in text
    assert "still not classified as Cat" in caption(facts | {"fooled": False}, "m", False)
    assert "no step came closer" in caption(facts | {"steps": 0}, "m", False)
    assert "stopped" not in text
    assert "surrogate" not in text
    assert "synthetic" not in text
    assert "a smooth surrogate" in caption(facts | {"surrogate": True}, "m", False)
    assert "stopped: the loss was not finite" in caption(facts | {"non_finite": True}, "m", False)
    assert "(american_bulldog_7; synthetic, drawn by a program, not a photograph)" in caption(
        facts, "m", True
    )
    assert "probability of Cat <0.1% before" in caption(facts | {"target_before": 1e-6}, "m", False)


def test_each_outcome_is_a_figure_of_the_original_the_change_and_the_result() -> None:
    breed = "staffordshire_bull_terrier"
    facts = {
        "label": breed, "image_id": "a_7", "fooled": True, "truth": breed, "goal": "to its closest class",
        "target": "american_pit_bull_terrier", "truth_before": 0.999999, "target_before": 0.0,
        "truth_after": 0.02, "target_after": 0.98, "attack": "L2-PGD", "constraint": "L2 at most 1.5",
        "steps": 3, "l2": 1.234, "levels": 3, "non_finite": False, "surrogate": False,
    }  # fmt: skip
    original = np.full((480, 640, 3), 100, np.uint8)
    result = original + np.uint8(3)
    of_a_dog = Outcome(facts | {"truth": "dog"}, original, original)
    outcomes = [Outcome(dict(facts), original, result), of_a_dog]
    first, second = draw(outcomes, "m", synthetic=False)
    assert [each.facts["name"] for each in outcomes] == [first.name, second.name]
    assert first.name == "001_to_its_closest_class_l2-pgd_a_7"
    assert second.name.startswith("002_")
    assert first.caption == caption(outcomes[0].facts, "m", False)
    assert first.title == "Staffordshire bull terrier, to its closest class: L2-PGD"
    assert [tile.picture.shape for tile in first.tiles] == [(168, 224, 3)] * 3
    assert [int(tile.picture.mean().round()) for tile in first.tiles] == [100, 128 + 3 * 42, 103]
    assert [tile.lines for tile in first.tiles] == [
        ["Staffordshire bull terrier: >99.9%"],  # the truth is named once
        ["Change, 42 times as strong"],
        ["98.0% American pit bull terrier"],
    ]
    assert second.tiles[0].lines == ["Staffordshire bull terrier: >99.9% Dog"]
    assert outcomes[1].facts["factor"] == 1


def test_long_words_stay_below_their_picture() -> None:
    """Words that would run into the next picture go on in the next line."""
    tiles = [Tile(np.zeros((40, 224, 3), np.uint8), [9 * "Staffordshire bull terrier "])] + [
        Tile(np.zeros((40, 224, 3), np.uint8), [])
    ] * 2
    page = np.asarray(sheet(Figure("name", "", "", tiles, columns=3)))
    gap = page[:, MARGIN + 224 : MARGIN + 224 + GAP]
    assert gap.min() == 255
