"""docs/your-own-pictures.md: a folder that no one prepared goes to a report by its two commands."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import BACKBONE, ROOT, Workspace, stages_run

CLASSES = ("red", "sky & sea", "grünes Gras", "🐕", "train")
NAMES = (
    "1.jpg",
    "a b  c.PNG",
    "🐾.gif",
    f"{'x' * 245}.webp",
    "100%#?&'.jpg",
    "IMG_1.jpeg",
    "noext",
    "deep/er/1.tif",
)


def drawn(place: int, number: int, size: tuple[int, int] = (90, 60)) -> Image.Image:
    """Stripes of a width and a colour for each class, with some noise."""
    random = np.random.default_rng([place, number])
    y, x = np.mgrid[: size[1], : size[0]]
    stripes = ((x + y * place) // (3 + 4 * place) % 2)[..., None] * np.eye(3)[place % 3] * 200
    return Image.fromarray((stripes + random.integers(0, 50, (size[1], size[0], 3))).astype(np.uint8))


def encoded(place: int, number: int) -> bytes:
    """The picture in another format, mode or size for each number."""
    image = drawn(place, number)
    target = io.BytesIO()
    if number == 0:
        turned = Image.Exif()
        turned[0x0112] = 6
        image.save(target, "JPEG", exif=turned)
    elif number == 1:
        image.convert("RGBA").save(target, "PNG")
    elif number == 2:
        image.save(target, "GIF", save_all=True, append_images=[drawn(place, 9)])
    elif number == 3:
        image.save(target, "WEBP", save_all=True, append_images=[drawn(place, 9)])
    elif number == 4:
        image.convert("CMYK").save(target, "JPEG")
    elif number == 5:
        (image.resize((4000, 3000)) if place == 0 else image.resize((2, 1)) if place == 1 else image).save(
            target, "JPEG"
        )
    elif number == 6:
        image.convert("P").save(target, "BMP")
    else:
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(target, "TIFF")
    return target.getvalue()


@pytest.fixture(scope="module")
def commands() -> list[str]:
    """The doc's first block of commands."""
    text = (ROOT / "docs/your-own-pictures.md").read_text("utf-8")
    (block, *_) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return str(block).splitlines()


def test_a_folder_that_no_one_prepared(
    commands: list[str],
    new_workspace: Callable[[], Workspace],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    photos = tmp_path / "photos"
    for place, label in enumerate(CLASSES):
        for number, name in enumerate(NAMES):
            (photos / label / name).parent.mkdir(parents=True, exist_ok=True)
            (photos / label / name).write_bytes(encoded(place, number))
    bad = {
        "red/notes.txt": b"red",
        "red/empty.jpg": b"",
        "train/cut.jpg": encoded(0, 0)[:-99],
        "loose.jpg": encoded(0, 1),
    }
    for name, data in bad.items():
        (photos / name).write_bytes(data)
    (photos / "none yet").mkdir()
    (photos / "red/again").symlink_to(photos)
    before = contents(photos)

    workspace = new_workspace()
    workspace.set_params(
        f"run.backbones=[{BACKBONE}]",
        "run.heads=[prototype]",
        "evaluate.bootstrap=50",
        "ideal_breeds.breeds=[red, 🐕]",
    )
    assert len(commands) == 2
    output = ""
    for command in commands:
        output = workspace.run("bash", "-c", command)
    assert "photos: 6 classes (grünes Gras, none yet, red, sky & sea, train, 🐕), without a split" in output
    assert "  none yet is empty" in output
    assert "40 of 44 pictures can be used." in output

    table = pd.read_parquet(workspace.path / "data/my-photos/catalog.parquet").set_index("image_id")
    assert set(table.index) == {*bad, *(f"{label}/{name}" for label in CLASSES for name in NAMES)}
    assert set(table.index[table["status"] != "ok"]) == set(bad)
    page = (workspace.path / "reports/index.html").read_text("utf-8")
    assert "Which class is it?" in page
    for word in ("Sky &amp; sea", "Grünes Gras", "🐕", "Train", "red/notes.txt"):
        assert word in page
    assert contents(photos) == before  # read, and nothing else
    cache = {file.stat().st_size for file in (workspace.path / ".dvc/cache").rglob("*") if file.is_file()}
    assert len(encoded(0, 5)) not in cache  # nor is it copied

    workspace.run("python", "-m", "flows.predict", str(photos))
    predicted = pd.read_parquet(workspace.path / "predictions/predictions.parquet")
    usable = predicted[predicted["problem"].isna()]
    assert len(usable) == 36  # with that of no class, without the five whose names have no suffix
    assert set(usable["label"]) <= set(CLASSES)
    assert usable["species"].isna().all()
    assert "Which class is it?" in (workspace.path / "predictions/index.html").read_text("utf-8")
    assert contents(photos) == before

    assert stages_run(workspace.run("dvc", "repro")) == {"listing@my-photos"}
    (photos / "red/new.png").write_bytes(encoded(0, 1))
    ran = stages_run(workspace.run("dvc", "repro", "split"))
    assert ran == {f"{name}@my-photos" for name in ("listing", "download", "catalog", "split")} | {"code"}
    metadata = json.loads((workspace.path / "data/my-photos/catalog.json").read_text())
    assert ["red/a b  c.PNG", "red/new.png"] in metadata["duplicates"]


def contents(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file): (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_nlink) for file in files}
