"""`make setup` empties no environment but its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile with a lock that asks for nothing, so that setting up takes seconds."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "Makefile").write_text((ROOT / "Makefile").read_text())
    (folder / "requirements.lock").write_text("")
    return folder


def setup(checkout: Path) -> tuple[int, str]:
    command = ["make", "setup", f"PYTHON={sys.executable}"]
    result = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def files(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def foreign(folder: Path) -> dict[str, bytes]:
    """Somebody's environment; returns its files."""
    (folder / "lib").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (folder / "lib" / "work.py").write_text("of a year")
    return files(folder)


@pytest.mark.parametrize("target", ["absolute", "relative", "another link", "dangling"])
def test_a_linked_environment_is_refused_and_untouched(checkout: Path, target: str) -> None:
    elsewhere = checkout.parent / "elsewhere"
    before = foreign(elsewhere) if target != "dangling" else {}
    to = {"relative": Path("../elsewhere"), "another link": checkout.parent / "link"}.get(target, elsewhere)
    if target == "another link":
        to.symlink_to(elsewhere)
    (checkout / ".venv").symlink_to(to)
    code, output = setup(checkout)
    assert code != 0
    assert f".venv is a symbolic link to {to}, and setting up would empty that. Remove the link." in output
    assert files(elsewhere) == before
    assert "Traceback" not in output


@pytest.mark.parametrize("kind", ["environment", "empty folder", "file"])
def test_what_make_did_not_make_is_refused_and_untouched(checkout: Path, kind: str) -> None:
    place = checkout / ".venv"
    if kind == "environment":
        foreign(place)
    elif kind == "file":
        place.write_text("a note")
    else:
        place.mkdir()
    before = files(checkout)
    code, output = setup(checkout)
    assert code != 0
    assert ".venv was not made by this Makefile, and setting up would empty it." in output
    assert files(checkout) == before
    assert place.exists()


def test_its_own_is_made_anew_when_the_lock_changes(checkout: Path) -> None:
    assert setup(checkout)[0] == 0
    old = checkout / ".venv" / "old"
    old.write_text("of the old lock")
    assert setup(checkout)[0] == 0
    assert old.exists()  # nothing had changed
    (checkout / "requirements.lock").write_text("# changed\n")
    assert setup(checkout)[0] == 0
    assert not old.exists()
    (checkout / "requirements.lock").write_text("no-such-package-of-pets==1.0 --hash=sha256:0\n")
    assert setup(checkout)[0] != 0
    (checkout / "requirements.lock").write_text("")
    assert setup(checkout)[0] == 0  # what failed half-way is still its own
