"""Galleries as artifacts, one picture each; and the progress of a run, one for all stages."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from prefect.exceptions import PrefectException

from flows import artifacts
from flows.artifacts import MAX_HEIGHT, SHOWN_WIDTH, Progress, contact_sheet


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


def test_a_run_has_one_progress_of_all_its_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[float, str]] = []
    created: list[str] = []

    def create(percent: float, key: str, description: str) -> str:
        created.append(key)
        shown.append((percent, description))
        return "its id"

    def update(artifact: str, percent: float, description: str) -> None:
        assert artifact == "its id"
        shown.append((percent, description))

    monkeypatch.setattr(artifacts.artifacts, "create_progress_artifact", create)
    monkeypatch.setattr(artifacts.artifacts, "update_progress_artifact", update)
    progress = Progress(4)
    progress.report("embed", 50, "images: 50%|#| 3/s")
    progress.report("transfer", 10, "pictures: 10%|#| 1/s")
    progress.end("embed")
    progress.end("cached")
    assert created == ["progress"]
    assert [percent for percent, _ in shown] == [0, 12.5, 15, 27.5, 52.5]
    assert shown[2][1] == (
        "0 of 4 stages have ended.\n\n- embed: images: 50%|#| 3/s\n- transfer: pictures: 10%|#| 1/s"
    )
    assert shown[-1][1] == "2 of 4 stages have ended.\n\n- transfer: pictures: 10%|#| 1/s"


def test_a_server_that_does_not_answer_stops_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*_: Any, **__: Any) -> None:
        raise PrefectException("no answer")

    warnings: list[Any] = []
    logger = type("Logger", (), {"warning": lambda _, *words: warnings.append(words)})
    monkeypatch.setattr(artifacts.artifacts, "create_progress_artifact", create)
    monkeypatch.setattr(artifacts, "get_run_logger", logger)
    progress = Progress(2)
    progress.report("embed", 50, "50%|#|")
    assert len(warnings) == 2
