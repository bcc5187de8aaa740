import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.report import charts
from pets.report.curves import Curves
from pets.report.tricks import Effect, Tricks

NASTY = '<script>alert("1")</script> & "more"'
UNIT = st.floats(0, 1)


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)


def test_robustness_shows_both_attacks_and_the_effect_of_saving() -> None:
    rows = [
        {"attack": attack, "epsilon": level / 255, "robust": robust, "low": 0.9 * robust, "high": robust}
        for attack, drop in (("PGD", 0.5), ("APGD", 0.4))
        for level, robust in ((0, 0.8), (0.5, drop))
    ]
    svg = charts.robustness(pd.DataFrame(rows).assign(saved=0.8))
    assert "PGD, epsilon 0.5/255: 50.0% robust" in svg
    assert "APGD, epsilon 0.5/255: 40.0% robust" in svg
    assert "saved with 8 bits, epsilon 0.5/255: 80.0% robust" in svg
    assert svg.count("whisker") == 2


@pytest.mark.parametrize(("head", "dashed"), [("prototype", True), ("linear", False)])
def test_learning_curves_end_at_all_images_and_show_what_needs_no_training(head: str, dashed: bool) -> None:
    sizes = [1.0, 10.0, 79.5]
    table = pd.DataFrame(
        {
            "images_per_class": sizes,
            "top1": [0.5, 0.7, 0.8],
            "lowest": [0.4, 0.6, 0.8],
            "highest": [0.6, 0.7, 0.8],
        }
    )
    svg = parsed(charts.learning_curves(Curves("resnet18", {head: table})))
    texts = [text.text for text in svg.iter("text")]
    assert texts[-5:-2] == ["1", "10", "all"]
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in svg.iter("circle")]
    (x1, y1), (x10, y10), (x_all, _) = dots
    assert (x10 - x1) / (x_all - x1) == pytest.approx(np.log(10) / np.log(79.5), abs=1e-3)
    assert y1 > y10
    whiskers = [each for each in svg.iter("line") if each.get("class") == "whisker"]
    assert len(whiskers) == 2  # none where all draws are the same
    baselines = [float(each.attrib["y1"]) for each in svg.iter("line") if each.get("class") == "diagonal"]
    assert baselines == ([pytest.approx(y1, abs=0.01)] if dashed else [])


def test_a_tag_escapes_text_and_attributes() -> None:
    element = parsed(charts.tag("text", NASTY, aria_label=NASTY, class_="a"))
    assert (element.text, element.attrib) == (NASTY, {"aria-label": NASTY, "class": "a"})
    assert list(element) == []


@given(st.lists(st.tuples(UNIT, UNIT).map(sorted), min_size=1, max_size=12))
def test_an_axis_contains_all_intervals_and_has_few_round_ticks(intervals: list[list[float]]) -> None:
    axis = charts.axis_around(intervals)
    assert all(axis.low - 1e-9 <= low <= high <= axis.high + 1e-9 for low, high in intervals)
    assert 3 <= len(axis.ticks) <= 6
    assert list(axis.ticks) == sorted(set(axis.ticks))


def test_a_position_on_an_axis_is_a_share_of_its_length() -> None:
    axis = charts.Axis(0.8, 1.0, (0.8, 0.9, 1.0))
    assert [axis.at(value) for value in (0.8, 0.85, 1.0)] == ["0%", "25%", "100%"]


@given(st.integers(2, 9).flatmap(lambda k: st.lists(st.integers(0, 9), min_size=k * k, max_size=k * k)))
def test_the_confusion_matrix_draws_each_count_once_at_its_place(flat: list[int]) -> None:
    k = round(len(flat) ** 0.5)
    counts = np.array(flat).reshape(k, k)
    svg = parsed(charts.confusion_matrix([f"class_{i}" for i in range(k)], [""] * k, counts))
    plot = next(each for each in svg if each.get("class") == "plot")
    side = float(plot.attrib["width"]) / k
    shown = np.zeros_like(counts)
    for cell in svg.iter("rect"):
        if at := cell.get("data-at"):
            row, column = map(int, at.split(","))
            assert (float(cell.attrib["x"]) - float(plot.attrib["x"])) / side == pytest.approx(
                column, abs=0.01
            )
            assert (float(cell.attrib["y"]) - float(plot.attrib["y"])) / side == pytest.approx(row, abs=0.01)
            assert cell.get("class") == ("hit" if row == column else "miss")
            title = cell.find("title")
            assert title is not None
            found = re.search(r": (\d+) of (\d+) ", title.text or "")
            assert found is not None
            shown[row, column] = int(found[1])
            assert int(found[2]) == counts[row].sum()
    assert (shown == counts).all()


def test_a_line_separates_cats_from_dogs() -> None:
    svg = charts.confusion_matrix(list("abc"), ["cat", "dog", "dog"], np.eye(3, dtype=int))
    borders = [each for each in parsed(svg) if each.get("class") == "border"]
    names = [each.text for each in parsed(svg) if each.get("class") == "species"]
    assert (len(borders), names) == (2, ["Cats", "Cats", "Dogs", "Dogs"])


def test_labels_cannot_end_their_element() -> None:
    table = pd.DataFrame(
        {"setting": [NASTY], "parameter": [NASTY], "top1": [0.5], "nll": [1.0], "chosen": [True]}
    )
    for svg in (
        charts.confusion_matrix([NASTY, "b"], [NASTY, "dog"], np.ones((2, 2), int)),
        charts.validation_curve(table),
    ):
        assert "<script" not in svg
        assert all(each.tag != "script" for each in parsed(svg).iter())


def test_bins_without_images_are_left_out() -> None:
    table = pd.DataFrame(
        {"confidence": [0.2, np.nan, 0.9], "accuracy": [0.3, np.nan, 0.8], "images": [4, 0, 90]}
    )
    svg = charts.reliability(table)
    assert "nan" not in svg
    assert sum(each.get("class") == "dot" for each in parsed(svg)) == 2


def test_the_dots_of_the_reliability_diagram_are_at_their_values() -> None:
    table = pd.DataFrame({"confidence": [0.0, 0.5, 1.0], "accuracy": [0.0, 0.5, 1.0], "images": [5, 5, 5]})
    svg = parsed(charts.reliability(table))
    diagonal = next(each for each in svg if each.get("class") == "diagonal").attrib
    dots = [
        (float(each.attrib["cx"]), float(each.attrib["cy"])) for each in svg if each.get("class") == "dot"
    ]
    start, end = (
        (float(diagonal["x1"]), float(diagonal["y1"])),
        (float(diagonal["x2"]), float(diagonal["y2"])),
    )
    np.testing.assert_allclose(dots, [start, np.mean([start, end], axis=0), end])


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_the_validation_curve_shows_every_setting_and_the_chosen_one(n: int) -> None:
    table = pd.DataFrame(
        {
            "setting": [f"{10.0 ** (i - 5):g}" for i in range(n)],
            "parameter": "penalty",
            "top1": np.linspace(0.9, 0.9 + 0.001 * n, n),
            "nll": 0.4,
            "chosen": [i == n - 1 for i in range(n)],
        }
    )
    svg = parsed(charts.validation_curve(table))
    texts = [each.text for each in svg.iter("text")]
    assert [text for text in texts if text in set(table["setting"])] == list(table["setting"])
    assert sum(each.get("class") == "dot" for each in svg) == 2 * n
    band = next(each for each in svg if each.get("class") == "chosen").attrib
    last = [each for each in svg if each.get("class") == "dot"][n - 1]
    assert float(band["x"]) + float(band["width"]) / 2 == pytest.approx(float(last.attrib["cx"]), abs=0.02)


@pytest.mark.parametrize(("epochs", "chosen"), [(1, 0), (5, 3), (40, 40)])
def test_the_history_of_a_training_shows_every_epoch_and_the_chosen_one(epochs: int, chosen: int) -> None:
    numbers = np.arange(epochs + 1)
    table = pd.DataFrame(
        {
            "epoch": numbers,
            "train_loss": [np.nan, *np.linspace(2, 1, epochs)],  # none before the first epoch
            "validation_nll": np.linspace(1.5, 1.2, epochs + 1),
            "validation_top1": np.linspace(0.5, 0.6, epochs + 1),
            "chosen": numbers == chosen,
        }
    )
    svg = parsed(charts.training_history(table))
    titles = [each.text or "" for each in svg.iter("title")]
    assert sum("training loss" in each for each in titles) == epochs
    assert sum("validation NLL" in each for each in titles) == epochs + 1
    assert f"epoch {epochs}: validation top-1 60%" in titles
    place = next(each for each in svg.iter("rect") if each.get("class") == "chosen")
    dots = [each for each in svg.iter("circle") if f"epoch {chosen}:" in (each[0].text or "")]
    start, width = (float(place.get(name) or "nan") for name in ("x", "width"))
    assert len(dots) == (3 if chosen else 2)
    for dot in dots:
        assert float(dot.get("cx") or "nan") == pytest.approx(start + width / 2, abs=0.02)
    assert "nan" not in charts.training_history(table)


def test_a_class_without_images_has_no_bar() -> None:
    nan = float("nan")
    assert 'class="bar"' not in charts.bar_track(nan, (nan, nan))
    assert 'class="bar"' in charts.bar_track(0.5, (0.4, 0.6))


def test_effects_beyond_the_axis_are_arrows_and_missing_ones_leave_the_track_empty() -> None:
    def effect(mean: float, low: float, high: float) -> Effect:
        return Effect("mlp", "plain", mean, low, high, 0.01, mean, 0.1, 0.8, 5, 0)

    axis = charts.Axis(-0.05, 0.05, (-0.05, 0, 0.05))
    seen = parsed(charts.effects_track([effect(0.02, 0.01, 0.03), effect(-0.3, -0.4, -0.2)], axis))
    (dot,) = seen.iter("circle")
    assert dot.get("class") == "dot helps"
    assert dot.get("cx") == "70%"
    (arrow,) = seen.iter("text")
    assert (arrow.text, arrow.get("x"), arrow.get("class")) == ("◂", "0%", "harms")
    missing = float("nan")
    empty = parsed(charts.effects_track([effect(missing, missing, missing)], axis))
    assert not list(empty.iter("circle"))


@pytest.mark.parametrize("size", [0.004, 0.4])
def test_the_axis_of_the_tricks_fits_their_effects_but_not_one_that_fails(size: float) -> None:
    effects = pd.DataFrame({"trick": [f"trick {i}" for i in range(20)], "effect": size}).assign(low=0.0)
    effects["high"] = 1.2 * size
    effects.loc[0, ["low", "effect", "high"]] = -0.9, -0.88, -0.86
    low, high = Tricks("resnet18", effects, pd.DataFrame(), pd.DataFrame()).axis
    assert low == pytest.approx(-max(1.2 * size, 0.01))
    assert high == pytest.approx(max(1.2 * size, 0.01))


def test_losses_that_are_not_finite_leave_a_gap_in_their_line_alone() -> None:
    losses = pd.DataFrame({"epoch": [1, 2, 3], "train": [2.0, 1.0, 0.001], "validation": [2.0, 1.5, 1.0]})
    broken = losses.assign(train=[2.0, np.inf, np.nan])
    svg = parsed(charts.loss_curves({"Plain": losses, "Learning rate × 10": broken}))
    points = [len((each.get("points") or "").split()) for each in svg.iter("polyline")]
    assert points == [3, 3, 1, 3]
    assert "Plain: 0.001 on training, 1 on validation" in (svg.get("aria-label") or "")
