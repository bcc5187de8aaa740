"""A door from outside: what it prints, how it exits, and that stopping it leaves what stood before."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from tests.conftest import Workspace


def test_tells_its_arguments(new_workspace: Callable[[], Workspace]) -> None:
    workspace = new_workspace()
    assert "usage: python -m stages.embed [-h] dataset backbone" in workspace.run(
        "python", "-m", "stages.embed", "--help"
    )
    assert "required: dataset" in workspace.run("python", "-m", "stages.split", fails=True)


def test_notes_its_time_and_stops_without_a_trace(new_workspace: Callable[[], Workspace]) -> None:
    workspace = new_workspace()
    workspace.set_params("datasets.sample.per_breed=4", "datasets.sample.size=64")
    workspace.run("python", "-m", "stages.download", "sample")
    noted = json.loads((workspace.path / ".timings/download@sample.json").read_text())
    assert noted["stage"] == "download"
    assert noted["seconds"] > 0
    before = {file: file.read_bytes() for file in (workspace.path / "data").rglob("*") if file.is_file()}

    workspace.set_params("datasets.sample.per_breed=1000", "datasets.sample.size=512")
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.download", "sample"],
        cwd=workspace.path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    drawing = workspace.path / "data/sample/.raw.part/images"
    deadline = time.monotonic() + 60
    while not (drawing.is_dir() and any(drawing.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:  # Python drops an interrupt that falls into a callback
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert "download: stopped; what stood before is untouched" in errors
    after = {file: file.read_bytes() for file in (workspace.path / "data").rglob("*") if file.is_file()}
    assert after == before
