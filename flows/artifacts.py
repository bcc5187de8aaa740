"""The artifacts that a run creates in Prefect: tables, links, pictures, progress."""

import base64
import html
import io
import re
import threading
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from dvc.output import Output
from dvc.stage import Stage
from PIL import Image, ImageOps
from prefect import artifacts, get_run_logger
from prefect.exceptions import PrefectException

from flows.execution import Outcome
from pets.core.errors import UserError
from pets.core.files import read_json

if TYPE_CHECKING:
    from pets.comparison.revisions import Combination, Metrics

GALLERY = "gallery"  # the label in dvc.yaml of an output that is shown as a picture
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif"}
MAX_PICTURES, COLUMNS, CELL = 24, 6, 128  # of a contact sheet; cells in pixels: 50 kB, kept for every run
FIGURE_WIDTH = 640  # pixels: a picture at least this wide is a figure with text in it ...
SHOWN_WIDTH = 800  # ... and is shown at this width, so that the text can be read: some 150 kB
MAX_HEIGHT = 4000  # pixels, of figures one below the other: Prefect accepts no more than 1.5 MB
MAX_BYTES = 1_000_000  # a single picture up to this size is shown unchanged, so that an animation plays


def stages(outcomes: Mapping[str, Outcome]) -> None:
    """A table of all stages: how each ended, the reason, and how long it took."""
    rows = [
        {"stage": name, "state": each.status, "reason": each.reason, "seconds": round(each.seconds, 1)}
        for name, each in outcomes.items()
    ]
    description = "How each stage ended in this run, and why."
    artifacts.create_table_artifact(rows, key="stages", description=description)


def metrics(before_run: str | None) -> None:
    """The headline metrics of the workspace, each beside what it was in the commit ``before_run``."""
    from pets.comparison import revisions  # which imports pandas

    with revisions.opened(revisions.WORKSPACE) as workspace:
        now = workspace.metrics
    if not now:
        return
    before, note = {}, "all of them are new: there is no commit yet"
    if before_run:
        try:
            with revisions.opened(before_run) as commit:
                before, note = commit.metrics, f"in brackets those before the run, of {before_run[:7]}"
        except UserError as error:  # it holds no pipeline
            note = f"all of them are new: {error}"
    artifacts.create_table_artifact(
        [_row(combination, now[combination], before.get(combination, {})) for combination in now],
        key="metrics",
        description=f"Metrics on the test images; {note}",
    )


def _row(combination: "Combination", now: "Metrics", before: "Metrics") -> dict[str, str]:
    kind = " (synthetic)" if synthetic(combination.dataset) else ""
    row = {"combination": f"{combination.dataset}{kind} {combination.backbone} {combination.head}"}
    for metric, value in now.items():
        row[metric] = f"{value:.4f} ({f'{before[metric]:.4f}' if metric in before else 'new'})"
    return row


def report(page: Path, summary: Path) -> None:
    """The report's summary, and where the report is: browsers open no local file from a server's page."""
    if not page.exists():
        return
    artifacts.create_markdown_artifact(
        summary.read_text("utf-8"), key="summary", description=f"Open {page.absolute()}"
    )


def galleries(pipeline: Mapping[str, Stage]) -> None:
    """Every output labelled as a gallery in dvc.yaml: a picture unchanged, a folder as a contact sheet."""
    for name, stage in pipeline.items():
        for out in stage.outs:
            if GALLERY in out.annot.labels:
                _gallery(name, out)


def _gallery(stage: str, out: Output) -> None:
    path = Path(out.fs_path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    pictures = [file for file in files if file.suffix.lower() in SUFFIXES and file.exists()]
    if not pictures:
        return
    if path.is_dir() or path.stat().st_size > MAX_BYTES:
        (shown, count), kind = contact_sheet(pictures[:MAX_PICTURES]), "jpeg"
    else:
        shown, count, kind = path.read_bytes(), 1, path.suffix[1:].lower().replace("jpg", "jpeg")
    part = f" ({count} of {len(pictures)})" if count < len(pictures) else ""
    origin = " · synthetic, drawn by a program, not photographs"
    origin = origin if any(map(synthetic, Path(out.def_path).parts)) else ""
    artifacts.create_image_artifact(
        f"data:image/{kind};base64,{base64.b64encode(shown).decode('ascii')}",
        key=key(f"{stage}-{path.stem}"),
        description=html.escape(f"{out.annot.desc or out.def_path}{part} · {stage}{origin}", quote=False),
    )


def synthetic(dataset: str) -> bool:
    """Whether there is a data set of this name whose pictures are synthetic."""
    origin = Path("data", dataset, "origin.json")
    return origin.exists() and bool(read_json(origin)["synthetic"])


def contact_sheet(pictures: list[Path]) -> tuple[bytes, int]:
    """The pictures as one JPEG, in rows from the top left, none cropped; and how many they are.

    An animation is shown by its last frame. If there are figures among the pictures, only these are shown,
    one below the other, as many as fit.
    """
    images = [_last_frame(file) for file in pictures]
    figures = [image for image in images if image.width >= FIGURE_WIDTH]
    images = figures or images
    columns, width = (1, SHOWN_WIDTH) if figures else (min(COLUMNS, len(images)), CELL)
    for image in images:
        image.thumbnail((width, 3 * width if figures else width), Image.Resampling.LANCZOS)
    if figures:
        ends = accumulate(image.height for image in images)
        images = images[: max(1, sum(end <= MAX_HEIGHT for end in ends))]
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
    """The progress of a run as one artifact: with one for each stage, the results were hard to find.

    It counts the stages that have ended, and has the bars of those that run. If the server does not answer,
    it is not shown; the run goes on.
    """

    def __init__(self, stages: int) -> None:
        self._stages = stages
        self._ended = 0
        self._running: dict[str, tuple[int, str]] = {}  # the percentage and the line of each stage
        self._artifact: Any = None  # its UUID
        self._lock = threading.Lock()
        self._show()

    def report(self, stage: str, percent: int, line: str) -> None:
        """Show a stage's ``percent`` and the whole line, which has the speed and the remaining time."""
        with self._lock:
            self._running[stage] = percent, line
            self._show()

    def end(self, stage: str) -> None:
        """Count a stage as ended."""
        with self._lock:
            self._running.pop(stage, None)
            self._ended += 1
            self._show()

    def _show(self) -> None:
        running = sum(percent for percent, _ in self._running.values())
        percent = (100 * self._ended + running) / max(self._stages, 1)
        lines = [f"- {stage}: {line}" for stage, (_, line) in self._running.items()]
        text = "\n".join([f"{self._ended} of {self._stages} stages have ended.", "", *lines]).rstrip()
        try:
            if self._artifact is None:
                created: Any = artifacts.create_progress_artifact(percent, key="progress", description=text)
                self._artifact = created
            else:
                artifacts.update_progress_artifact(self._artifact, percent, description=text)
        except (PrefectException, httpx.HTTPError) as error:
            get_run_logger().warning("could not show the progress: %s", error)


def key(name: str) -> str:
    """A valid key of an artifact: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
