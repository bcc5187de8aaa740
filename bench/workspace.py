"""Workspaces to run the pipeline in: clones of this repository, as it is committed, with other parameters."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def clone(workspace: Path, *assignments: str) -> None:
    """A new clone in which params.yaml is changed, by dotted key, and committed."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(workspace)], check=True)
    set_params(workspace, *assignments)
    commit(workspace)


def set_params(workspace: Path, *assignments: str) -> None:
    """Change params.yaml: ``run.heads=[linear]``."""
    subprocess.run([sys.executable, "-m", "stages.params", *assignments], cwd=workspace, check=True)


def commit(workspace: Path) -> None:
    """Commit everything."""
    author = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for command in (["add", "-A"], [*author, "commit", "-qm", "bench"]):
        subprocess.run(["git", *command], cwd=workspace, check=True)
