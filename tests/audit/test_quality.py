"""Bad pictures are listed, good ones are not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter, ImageOps

from pets.audit.quality import KINDS, measured
from pets.images.decoding import decode


def kinds(picture: Image.Image, size: tuple[int, int] | None = None) -> set[str]:
    measures = pd.DataFrame([measured(np.asarray(picture), size or picture.size)])
    return {name for name, kind in KINDS.items() if kind.scores(measures).notna().all()}


@pytest.fixture(scope="module")
def photograph(shared: Path) -> Image.Image:
    picture = Image.fromarray(decode(sorted((shared / "faults").glob("*.jpg"))[0].read_bytes()).pixels)
    picture.thumbnail((192, 192))
    return picture


def test_a_photograph_is_none_of_them(photograph: Image.Image) -> None:
    assert kinds(photograph) == set()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("dark", lambda picture: picture.point(lambda value: value // 4)),
        ("bright", lambda picture: picture.point(lambda value: 200 + value // 5)),
        ("blurred", lambda picture: picture.filter(ImageFilter.GaussianBlur(6))),
        ("framed", lambda picture: ImageOps.expand(picture, 12, "black")),
        ("blank", lambda picture: Image.new("RGB", picture.size, "grey")),
    ],
)
def test_each_kind_is_told(photograph: Image.Image, kind: str, change: object) -> None:
    assert kind in kinds(change(photograph))  # type: ignore[operator]


def test_tiny_is_what_the_file_was(photograph: Image.Image) -> None:
    assert kinds(photograph, (400, 63)) == {"tiny"}


def test_a_subject_on_a_plain_background_has_no_frame() -> None:
    picture = np.full((160, 160, 3), 255, np.uint8)
    rows, columns = np.ogrid[:160, :160]
    picture[(rows - 80) ** 2 + (columns - 80) ** 2 < 50**2] = 90
    assert "framed" not in kinds(Image.fromarray(picture))
