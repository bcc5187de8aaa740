"""A scratch workspace for tests that run the pipeline as a user does: with real git, DVC and commands."""

import fcntl
import gc
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests import preloaded

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
PROJECT = (
    *("audits", "flows", "pets", "stages", "listings"),
    *("params.yaml", "dvc.yaml", "prefect.yaml", ".dvcignore", ".gitignore"),
)
CHROMIUM = next(
    (path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()), None
)
BACKBONE = "efficientnet_lite0"
HEADS = ("linear", "prototype")
# Galleries and tables as small as they can be: most tests are about something else.
SMALL_GALLERIES = (
    "ideal.classes=[zebra]",
    "ideal.ablation=[]",
    "ideal.frames=3",
    "ideal.method.coarse_steps=1",
    "ideal.method.fine_steps=2",
    "ideal_breeds.breeds=[pug]",
    "ideal_breeds.coarse_steps=1",
    "ideal_breeds.fine_steps=1",
    "features.pictures=1",
    "features.searched=8",
    "gradcam.mistakes=2",
    "tricks.recipes=[standardized, adam]",
    "tricks.seeds=2",
    "tricks.epochs=2",
    "unknown.groups=2",
    "unknown.bootstrap=10",
    "audit.shown=2",
    "audit.pairs=300",
)

# What a pipeline test attacks: enough to run every line, little enough to take seconds.
FEW_ATTACKS = (
    "attack.gallery=1",
    "attack.steps=3",
    "attack.minimum_norm_steps=2",
    "attack.curve.images=3",
    "attack.curve.epsilons=[0.5/255, 2/255]",
    "attack.curve.steps=2",
    "attack.curve.reference_steps=2",
    "attack.transfer.images=2",
    "attack.transfer.steps=1",
)


@dataclass
class Workspace:
    """A scratch copy of the project."""

    path: Path

    def run(self, *command: str, fails: bool = False, fork: bool = True) -> str:
        """Run a command there; return what it printed. ``python`` and ``dvc`` are this environment's.

        The stages that ``dvc`` starts are forked from one process, unless ``fork`` is false.
        """
        places = [str(Path(sys.executable).parent), os.environ["PATH"]]
        if command[0] == "dvc" and fork:
            places.insert(0, str(preloaded.folder()))
        environment = {**os.environ, "PATH": os.pathsep.join(places)}
        done = subprocess.run(
            command,
            cwd=self.path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def commit(self, message: str) -> None:
        """Commit everything, in a git repository that is made where there is none."""
        if not (self.path / ".git").exists():
            self.run("git", "init", "-q", "-b", "main")
            self.run("git", "config", "user.email", "test@example.org")
            self.run("git", "config", "user.name", "test")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def copy(self, path: Path) -> "Workspace":
        """A copy at ``path``, DVC's cache included, to be changed."""
        subprocess.run(["cp", "-a", self.path, path], check=True)  # keeps the hard links to the cache
        shutil.rmtree(path / ".dvc" / "tmp", ignore_errors=True)
        return Workspace(path)

    def set_params(self, *assignments: str) -> None:
        """Change params.yaml as a user would."""
        self.run("python", "-m", "stages.params", *assignments)


def md5(file: Path) -> str:
    """The md5 of a file, as params.yaml has it."""
    return hashlib.md5(file.read_bytes()).hexdigest()


def pack(raw: Path, folder: Path) -> dict[str, Path]:
    """The official archives of a raw folder: images.tar.gz and annotations.tar.gz."""
    archives = {}
    for name in ("images", "annotations"):
        archives[name] = folder / f"{name}.tar.gz"
        with tarfile.open(archives[name], "w:gz") as archive:
            archive.add(raw / name, arcname=name)
    return archives


def stages_run(output: str) -> set[str]:
    """The stages that a `dvc repro` ran, by its output."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


@pytest.fixture(scope="session")
def new_workspace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Workspace]:
    """Makes a workspace: what git knows of the project, committed, and DVC's settings and templates."""

    @cache
    def project() -> Workspace:
        path = tmp_path_factory.mktemp("project")
        for name in PROJECT:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, path / name, ignore=shutil.ignore_patterns("__pycache__", "*.json"))
            else:
                shutil.copy(source, path)
        own = shutil.ignore_patterns("cache", "tmp", "config.local")
        shutil.copytree(ROOT / ".dvc", path / ".dvc", ignore=own)
        workspace = Workspace(path)
        workspace.set_params(*FEW_ATTACKS, *SMALL_GALLERIES)
        workspace.commit("the project")
        return workspace

    return lambda: project().copy(tmp_path_factory.mktemp("workspace") / "workspace")


@pytest.fixture(scope="session")
def shared_by_processes(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[], Workspace]], Workspace]:
    """Makes the workspace of that name once: the first test process makes it, the others wait for it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def get(name: str, make: Callable[[], Workspace]) -> Workspace:
        with (folder / f"{name}.txt").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            path = file.read()
            workspace = Workspace(Path(path)) if path else make()
            if not path:
                file.write(str(workspace.path))
        return workspace

    return get


@pytest.fixture(scope="session")
def finished(
    new_workspace: Callable[[], Workspace],
    shared_by_processes: Callable[[str, Callable[[], Workspace]], Workspace],
) -> Workspace:
    """The sample, few and small, through every stage, its results committed. Don't change it."""

    def run() -> Workspace:
        workspace = new_workspace()
        workspace.set_params(
            "run.datasets=[sample]",
            f"run.backbones=[{BACKBONE}]",
            f"run.heads=[{', '.join(HEADS)}]",
            "datasets.sample.per_breed=6",
            "datasets.sample.size=96",
            "embed.views=1",  # test_your_own_pictures.py embeds and attacks pictures in two
            "evaluate.bootstrap=100",
        )
        workspace.run("dvc", "repro")
        workspace.commit("a run")
        return workspace

    return shared_by_processes("finished", run)


@pytest.fixture
def sample(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished run, to be changed."""
    return finished.copy(tmp_path / "workspace")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures; a test that asks for it is skipped where it is not there."""
    if not SHARED.is_dir():
        pytest.skip("needs the real pictures in ../shared/data, which are not here")
    return SHARED


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser for the pages; a test that asks for it is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (`apt-get install chromium`)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(params=[(1280, "light"), (390, "dark")])
def tab(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab, wide and light or narrow and dark: nothing may be wider, nor any error logged.

    Except that a server refused a picture (422).
    """
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert [each for each in errors if "status of 422" not in each] == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    context.close()


# The longest files first, so that all test processes end at about the same time.
LONGEST = (
    "tests/real/test_pets.py",
    "tests/stages/test_pipeline.py",
    "tests/flows/test_deployments.py",
    "tests/real/",
    "tests/stages/test_galleries.py",
    "tests/flows/test_stopping.py",
    "tests/stages/test_reruns.py",
    "tests/stages/test_your_own_pictures.py",
    "tests/stages/test_finetune.py",
    "tests/report/test_page.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files by the list above; the others keep their order behind them."""

    def place(item: pytest.Item) -> int:
        return next((at for at, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))

    items.sort(key=place)
    gc.freeze()  # statsmodels collects garbage at each call, which beside PyTorch takes half a second
