"""What a run leaves in Prefect for people to look at: tables, links, pictures, progress."""

import base64
import html
import io
import re
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from dvc.output import Output
from dvc.stage import Stage
from PIL import Image, ImageOps
from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException

from flows import revisions
from flows.execution import Outcome
from flows.revisions import Combination, Metrics
from stages.errors import UserError
from stages.files import read_json

GALLERY = "gallery"  # the label of an output in dvc.yaml that is to be looked at
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif"}
MOST_PICTURES, COLUMNS, SIDE = 24, 6, 128  # of a contact sheet, in pixels: some 50 kB, kept for every run
SHEET = 640  # pixels: a picture as wide is a sheet itself, with words in it ...
WIDE = 800  # ... and is shown this wide, so that they can be read: some 150 kB
TALLEST = 4000  # pixels, of sheets one below the other: Prefect passes on no more than 1.5 MB
LARGEST = 1_000_000  # bytes: a single picture up to this is shown as it is, which keeps an animation moving


def stages(outcomes: Mapping[str, Outcome]) -> None:
    """Every stage with how it ended, why, and how long it took."""
    create_table_artifact(
        [
            {"stage": name, "state": str(each.ending), "why": each.why, "seconds": round(each.seconds, 1)}
            for name, each in outcomes.items()
        ],
        key="stages",
        description="What each stage did in this run, and why.",
    )


def metrics() -> None:
    """The headline metrics of the workspace, each beside what it was at the last commit."""
    with revisions.opened(revisions.WORKSPACE) as workspace:
        now = workspace.metrics
    if not now:
        return
    try:
        with revisions.opened("HEAD") as head:
            before, told = head.metrics, f"in brackets those of the last commit, {str(head.commit)[:7]}"
    except UserError as error:  # no commit yet, or none with a pipeline in it
        before, told = {}, f"all of them new: {error}"
    create_table_artifact(
        [_row(combination, now[combination], before.get(combination, {})) for combination in now],
        key="metrics",
        description=f"Metrics on the test images; {told}",
    )


def _row(combination: Combination, now: Metrics, before: Metrics) -> dict[str, str]:
    row = dict(combination._asdict())
    if drawn(combination.dataset):
        row["dataset"] += " (drawn)"
    for task, values in now.items():
        for metric, value in values.items():
            was = before.get(task, {}).get(metric)
            row[f"{task} {metric}"] = f"{value:.4f} ({'new' if was is None else f'{was:.4f}'})"
    return row


def report(page: Path, summary: Path) -> None:
    """Where the report is, and its summary, since no browser follows a link from a server to a local file."""
    if not page.exists():
        return
    create_link_artifact(
        page.absolute().as_uri(), link_text=str(page), key="report", description="The whole report, one page."
    )
    create_markdown_artifact(summary.read_text("utf-8"), key="summary", description=f"Open {page.absolute()}")


def galleries(pipeline: Mapping[str, Stage]) -> None:
    """Every output that dvc.yaml labels as a gallery: a picture as it is, a folder as a contact sheet."""
    for name, stage in pipeline.items():
        for out in stage.outs:
            if GALLERY in out.annot.labels:
                _gallery(name, out)


def _gallery(stage: str, out: Output) -> None:
    path = Path(out.fs_path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    pictures = [file for file in files if file.suffix.lower() in PICTURES and file.exists()]
    if not pictures:
        return
    if path.is_dir() or path.stat().st_size > LARGEST:
        (shown, count), kind = contact_sheet(pictures[:MOST_PICTURES]), "jpeg"
    else:
        shown, count, kind = path.read_bytes(), 1, path.suffix[1:].lower().replace("jpg", "jpeg")
    some = f" ({count} of {len(pictures)})" if count < len(pictures) else ""
    kind_of = " · drawn, not photographs" if any(map(drawn, Path(out.def_path).parts)) else ""
    create_image_artifact(
        f"data:image/{kind};base64,{base64.b64encode(shown).decode('ascii')}",
        key=key(f"{stage}-{path.stem}"),
        description=html.escape(f"{out.annot.desc or out.def_path}{some} · {stage}{kind_of}"),
    )


def drawn(dataset: str) -> bool:
    """Whether there is a data set of this name whose pictures a program drew."""
    origin = Path("data", dataset, "origin.json")
    return origin.exists() and bool(read_json(origin)["drawn"])


def contact_sheet(pictures: list[Path]) -> tuple[bytes, int]:
    """A JPEG with the pictures in rows, each whole in its cell, the first at the top left; and how many.

    Of an animation it shows the last frame. Where there are sheets or rows themselves, they stand one below
    the other, as many as fit, without what lies beside them.
    """
    images = [_last_frame(file) for file in pictures]
    sheets = [image for image in images if image.width >= SHEET]
    columns, width, height = (1, WIDE, 3 * WIDE) if sheets else (min(COLUMNS, len(images)), SIDE, SIDE)
    images = sheets or images
    for image in images:
        image.thumbnail((width, height), Image.Resampling.LANCZOS)
    if sheets:
        ends = accumulate(image.height for image in images)
        images = images[: max(1, sum(end <= TALLEST for end in ends))]
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    heights = [max(image.height for image in row) for row in rows]
    gap = 6
    sheet = Image.new("RGB", (columns * (width + gap) - gap, sum(heights) + gap * (len(rows) - 1)), "white")
    top = 0
    for row, tall in zip(rows, heights, strict=True):
        for place, image in enumerate(row):
            left = place * (width + gap) + (width - image.width) // 2
            sheet.paste(image, (left, top + (tall - image.height) // 2))
        top += tall + gap
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=82)
    return buffer.getvalue(), len(images)


def _last_frame(file: Path) -> Image.Image:
    with Image.open(file) as image:
        image.seek(getattr(image, "n_frames", 1) - 1)
        return ImageOps.exif_transpose(image.convert("RGB"))


class Progress:
    """A stage's progress bar as a Prefect artifact; there is none before its first percent is told."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._artifact: UUID | None = None

    def __call__(self, percent: int, line: str) -> None:
        """Show ``percent`` and, below it, the whole line, which says how fast and how long.

        A server that does not answer costs the picture of the progress, and not the stage.
        """
        try:
            if self._artifact is None:
                created: Any = create_progress_artifact(
                    percent, key=key(f"progress-{self._stage}"), description=line
                )
                self._artifact = created
            else:
                update_progress_artifact(self._artifact, percent, description=line)
        except (PrefectException, httpx.HTTPError) as error:
            get_run_logger().warning("the progress could not be shown: %s", error)


def key(name: str) -> str:
    """A name as artifacts may be called: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
