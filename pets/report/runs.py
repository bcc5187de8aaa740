"""run.js beside the page: when, from which commit and how fast each page was made, by the page's id.

Equal results give equal pages, so none of this is in the page. DVC's run cache can bring an earlier page
back: its entry is still there, and the page shows that one.
"""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pets.core.files import read_json, write_text

MOST = 20  # entries kept, the newest last
ASSIGNMENT = "window.runs = "
CODE = ("params.yaml", "dvc.yaml", "pets", "stages")


def record(file: Path, page_id: str, timings: Path) -> None:
    """Add the entry of a page that was written now. ``timings``: the folder with the time of each stage."""
    entries = _entries(file)
    entries.pop(page_id, None)
    entries = dict([*entries.items()][1 - MOST :])
    commit = _git("rev-parse", "HEAD")
    entries[page_id] = {
        "commit": commit,
        "changed": bool(commit and _git("status", "--porcelain", "--", *CODE)),
        "written": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "timings": [read_json(each) for each in sorted(timings.glob("*.json"))],
    }
    write_text(file, f"{ASSIGNMENT}{json.dumps(entries, indent=1)};\n")


def _entries(file: Path) -> dict[str, Any]:
    """Those of earlier pages; none where the file does not exist or is not what `record` writes."""
    try:
        content = json.loads(file.read_text("utf-8").removeprefix(ASSIGNMENT).rstrip(";\n"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _git(*arguments: str) -> str | None:
    """What git prints; None outside a repository with commits, or without git."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
