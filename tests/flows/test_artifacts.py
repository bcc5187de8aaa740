"""Galleries as artifacts: one picture each."""

import io
from pathlib import Path

from PIL import Image

from flows.artifacts import MAX_HEIGHT, SHOWN_WIDTH, contact_sheet


def picture(file: Path, width: int, height: int, colour: str) -> Path:
    Image.new("RGB", (width, height), colour).save(file)
    return file


def test_a_figure_stays_wide_enough_to_be_read_and_other_pictures_are_left_out(tmp_path: Path) -> None:
    beside = [picture(tmp_path / f"ideals-{number}.webp", 256, 256, "red") for number in range(5)]
    sheets = [
        picture(tmp_path / "ideals.jpg", 1298, 2017, "blue"),
        picture(tmp_path / "parts.jpg", 900, 600, "blue"),
    ]
    sheet, count = contact_sheet(beside + sheets)
    assert count == 2
    with Image.open(io.BytesIO(sheet)) as shown:
        assert shown.width == SHOWN_WIDTH
        assert shown.height > 2017 * SHOWN_WIDTH / 1298 + 600 * SHOWN_WIDTH / 900
        red, _, blue = shown.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    assert blue > 200 > 50 > red


def test_small_pictures_are_shown_in_rows(tmp_path: Path) -> None:
    photos = [picture(tmp_path / f"{number}.jpg", 300, 200, "green") for number in range(8)]
    sheet, count = contact_sheet(photos)
    assert count == 8
    with Image.open(io.BytesIO(sheet)) as shown:
        assert shown.width < 6 * 128 + 6 * 6
        assert shown.height < 2 * 128


def test_no_more_figures_than_prefect_accepts(tmp_path: Path) -> None:
    strips = [picture(tmp_path / f"{number}.png", 1016, 500, "green") for number in range(24)]
    sheet, count = contact_sheet(strips)
    assert 0 < count < 24
    with Image.open(io.BytesIO(sheet)) as shown:
        assert shown.height < 1.05 * MAX_HEIGHT
