import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pets.galleries.figures import Figure, Tile, fitting, font, percent, sheet, write
from pets.galleries.heatmap import coloured, enlarged, overlay

CAPTION = "a caption that could be in a paper, " * 6


def tile(value: int, frames: int = 0) -> Tile:
    picture = np.full((64, 64, 3), value, np.uint8)
    return Tile(picture, [f"grey {value}", "100.0%"], [picture // (at + 1) for at in range(frames)])


def figure(tiles: list[Tile]) -> Figure:
    return Figure("greys", "Greys", CAPTION, tiles, columns=3)


def test_a_figure_is_written_as_sheet_tiles_and_animation(tmp_path: Path) -> None:
    write(tmp_path, [figure([tile(20), tile(90, frames=4), tile(160), tile(230)]), figure([])])
    described = json.loads((tmp_path / "tiles/figures.json").read_text())
    assert [each["file"] for each in described[0]["tiles"]] == [f"greys-0{at}.jpg" for at in (1, 2, 3, 4)]
    assert described[0]["tiles"][1]["motion"] == "greys-02.webp"
    assert len(described) == 1  # a figure without tiles is left out
    assert sorted(each.name for each in (tmp_path / "gallery").iterdir()) == ["greys-02.webp", "greys.jpg"]
    with Image.open(tmp_path / "gallery/greys-02.webp") as motion:
        assert getattr(motion, "n_frames", 1) == 4


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, [figure([tile(20, frames=3), tile(90)])])
    files = [each.relative_to(tmp_path / "one") for each in (tmp_path / "one").rglob("*.*")]
    assert len(files) == 6
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@given(
    text=st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=400),
    columns=st.integers(1, 8),
    count=st.integers(1, 9),
)
@settings(deadline=None, max_examples=20)
def test_no_text_exceeds_the_sheet(text: str, columns: int, count: int) -> None:
    page = np.asarray(sheet(Figure("x", text, text, [tile(90)] * count, columns)))
    assert (page[:, -20:] == 255).all()
    assert (page[-20:] == 255).all()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("two words", ["two words"]),
        ("network._blocks.2", ["network._", "blocks.2"]),
        ("of american_pit_bull_terrier_63", ["of", "american_pit_", "bull_terrier_63"]),
        ("", []),
    ],
)
def test_long_words_are_split_after_dots_and_underscores(text: str, lines: list[str]) -> None:
    assert fitting(text, font(16), 120) == lines


def test_a_long_word_without_them_is_split_anywhere() -> None:
    lines = fitting("Donaudampfschifffahrt" * 3, font(16), 120)
    assert "".join(lines) == "Donaudampfschifffahrt" * 3
    assert all(60 < font(16).getlength(line) <= 120 for line in lines[:-1])


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1.0, "100.0%"), (0.9994, "99.9%"), (0.9999, ">99.9%"), (1e-6, "<0.1%"), (0.0, "0.0%"), (0.5, "50.0%")],
)
def test_percent(probability: float, text: str) -> None:
    assert percent(probability) == text


def test_luminance_and_colour_grow_with_the_value() -> None:
    colours = coloured(np.linspace(0, 1, 50)[None])[0].astype(int)
    luminance = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()
    hot = overlay(np.full((1, 2, 3), 100, np.uint8), np.array([[0.0, 1.0]]))[0].astype(int)
    assert np.ptp(hot[1]) > np.ptp(hot[0]) + 50


def test_enlarging_keeps_the_cells() -> None:
    values = np.arange(9.0).reshape(3, 3)
    large = enlarged(values, 7)
    assert large.shape == (7, 7)
    assert large[0, 0] == 0
    assert large[-1, -1] == 8
    assert set(large.ravel()) == set(values.ravel())
