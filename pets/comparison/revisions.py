"""The pipeline's results in a git revision or in the workspace, read through DVC.

DVC knows which metrics and parameters a revision has, and finds an output of any revision in its cache or in
a remote. The present settings say where these are, whichever revision is read.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.repo import Repo
from dvc.scm import NoSCMError, RevError, SCMError, resolve_rev

from pets import sources
from pets.core import names
from pets.core.errors import UserError, nearest

WORKSPACE = "workspace"
EVALUATIONS = "evaluations"
Metrics = dict[str, float]  # by metric; those of species are called species_<metric>


class Combination(NamedTuple):
    """What was evaluated: a head on a backbone on a data set."""

    dataset: str
    backbone: str
    head: str

    def __str__(self) -> str:
        return "/".join(self)

    @classmethod
    def of(cls, path: str) -> "Combination | None":
        """Whose metrics the file ``path`` has; None if it is not one of evaluations/."""
        if not path.startswith(f"{EVALUATIONS}/") or path.count("/") < 4:
            return None
        _, dataset, *backbone, head, _ = path.split("/")  # timm's backbones have a /
        return cls(dataset, "/".join(backbone), head)


class Change(NamedTuple):
    """A parameter that differs: its dotted key and both values, None where a side has no such key."""

    key: str
    old: Any
    new: Any


class MissingError(Exception):
    """An output of a revision is not available, or is of another run; the message says which and why."""


@dataclass(frozen=True)
class Predictions:
    """What a combination predicted for its test images.

    ``table`` is predictions.parquet, a row an image; ``classes`` names the columns of its probabilities, and
    ``label_name`` is what they are called ("breed").
    """

    table: pd.DataFrame
    classes: list[str]
    label_name: str = "class"


@dataclass(frozen=True)
class Revision:
    """A revision, with the name that the user gave; ``commit`` is its full sha, None for the workspace.

    ``metrics`` are those in git, in the order of its dvc.yaml, empty where nothing was evaluated; ``params``
    is all of params.yaml. ``not_run`` are parameters that were changed after the pipeline ran, so that the
    results are of other values.
    """

    name: str
    commit: str | None
    metrics: dict[Combination, Metrics]
    params: dict[str, Any]
    not_run: list[str]
    _repo: Repo

    def __str__(self) -> str:
        if self.commit is None:
            return "the workspace"
        short = self.commit[:7]
        return short if self.commit.startswith(self.name) else f"{self.name} ({short})"

    def synthetic(self, dataset: str) -> bool:
        """Whether a data set's pictures are synthetic, not photographs."""
        source = self.params.get("datasets", {}).get(dataset, {}).get("source", "")
        return source in names.sources() and sources.load(source).SYNTHETIC

    def all_metrics(self, combination: Combination) -> Metrics:
        """The combination's metrics in git and in scores.json, which earlier commits do not have."""
        try:
            scores = json.loads(self._read(f"{EVALUATIONS}/{combination}/scores.json"))
        except MissingError:
            return self.metrics[combination]
        return flat(
            {task: {key: each["value"] for key, each in metrics.items()} for task, metrics in scores.items()}
        )

    def predictions(self, combination: Combination) -> Predictions:
        """A combination's predictions. Raises MissingError, also where its metrics are not of them."""
        folder = f"{EVALUATIONS}/{combination}"
        table = pd.read_parquet(io.BytesIO(self._read(f"{folder}/predictions.parquet")))
        top1 = self.metrics[combination]["top1"]
        if abs((table["predicted"] == table["label"]).mean() - top1) > 1e-9:
            raise MissingError(
                f"{folder}/predictions.parquet of {self} does not have the top-1 of its metrics; "
                "dvc.lock and evaluations/ have to be committed together"
            )
        provenance = json.loads(self._read(f"{folder}/provenance.json"))
        return Predictions(table, provenance["classes"], provenance["label_name"])

    def catalog(self, dataset: str) -> pd.DataFrame:
        """A data set's catalog, a row an image, by image_id. Raises MissingError."""
        table = pd.read_parquet(io.BytesIO(self._read(f"data/{dataset}/catalog.parquet")))
        return table.set_index("image_id")

    def picture(self, dataset: str, path: str) -> bytes:
        """The bytes of a picture at the catalog's ``path``, as they are now if it is absolute.

        Raises MissingError.
        """
        if Path(path).is_absolute():
            try:
                return Path(path).read_bytes()
            except OSError as error:
                raise MissingError(f"{path} can't be read: {error.strerror}") from None
        return self._read(f"data/{dataset}/raw/{path}")

    def _read(self, path: str) -> bytes:
        """An output's bytes, from the workspace, the cache or a remote."""
        try:
            with self._repo.dvcfs.open(f"/{path}", "rb") as file:
                content: bytes = file.read()
        except (OSError, DvcException):
            remote = self._repo.config["core"].get("remote")
            raise MissingError(
                f"{path} of {self} is neither in DVC's cache nor in the remote '{remote}'; "
                "`dvc push` on the machine that made it uploads it"
                if remote
                else f"{path} of {self} is not in DVC's cache, and no remote is configured"
            ) from None
        return content


@contextmanager
def opened(name: str) -> Iterator[Revision]:
    """A revision by any name that git knows, or ``workspace``, to be read within the block.

    Raises UserError where there is no DVC project, no git repository, no such revision, or no dvc.yaml in it
    that DVC can read.
    """
    with project() as repo:
        if name == WORKSPACE:
            yield _revision(name, None, repo)
            return
        commit = commit_of(repo, name)
        try:
            with repo.switch(commit):
                yield _revision(name, commit, repo)
        except NotDvcRepoError:
            raise UserError(f"{name} holds no DVC project.") from None


def flat(content: Mapping[str, Any]) -> Metrics:
    """metrics.json by metric; earlier commits have {task: {metric: value}}, the data set's label first."""
    tasks = content if all(isinstance(each, Mapping) for each in content.values()) else {"": content}
    first = next(iter(tasks), "")
    return {
        ("" if task == first else f"{task}_")
        + key.replace("mean_per_class_accuracy", "mean_per_class"): value
        for task, metrics in tasks.items()
        for key, value in metrics.items()
    }


def params_changed(old: Revision, new: Revision) -> list[Change]:
    """The parameters that differ, by key."""
    with project() as repo:
        files = repo.params.diff(old.commit or WORKSPACE, new.commit or WORKSPACE).get("diff", {})
    changes = (
        Change(key, _as_written(each["old"]), _as_written(each["new"]))
        for file in files.values()
        for key, each in file.items()
    )
    return sorted(changes, key=lambda change: change.key)


def _as_written(value: Any) -> Any:
    """DVC gives a list as Python writes it; without the quotes it is as in params.yaml."""
    return value.replace("'", "") if isinstance(value, str) and value.startswith("[") else value


def project() -> Repo:
    """The DVC project here, with its present settings. UserError where there is none, or no git."""
    try:
        with Repo() as present:
            present.scm.root_dir  # noqa: B018 (DVC looks for git only when asked)
            settings = dict(present.config)
    except NotDvcRepoError:
        raise UserError(f"{Path.cwd()} is in no DVC project; run from the project's root.") from None
    except (NoSCMError, SCMError):
        raise UserError(f"{Path.cwd()} is in no git repository, so there are no revisions.") from None
    return Repo(config=settings)  # otherwise a revision is read with its own remotes


def commit_of(repo: Repo, name: str) -> str:
    """The sha of a revision by any name that git knows. Raises UserError where there is none."""
    if repo.scm.no_commits:
        raise UserError(f"there is no commit yet, so no '{name}'; commit the results first.")
    try:
        commit: str = resolve_rev(repo.scm, name)
    except RevError:
        if (Path(repo.scm.root_dir) / ".git" / "shallow").exists():
            raise UserError(
                f"this shallow clone has no revision '{name}'; `git fetch --unshallow` brings the rest."
            ) from None
        known = [*repo.scm.list_branches(), *repo.scm.list_tags()]
        raise UserError(f"there is no revision '{name}'; {nearest(name, known)}") from None
    return commit


def _revision(name: str, commit: str | None, repo: Repo) -> Revision:
    if not repo.dvcfs.exists("/dvc.yaml"):
        raise UserError(f"{name} has no dvc.yaml, so no results of this pipeline.")
    try:
        stages = repo.index.stages
    except DvcException as error:
        reason = " ".join(str(error).split())
        raise UserError(f"DVC cannot read the dvc.yaml of {name}: {reason}") from None
    metrics = repo.metrics.show()[""]["data"]
    params = repo.params.show()[""]["data"].get("params.yaml", {})
    return Revision(
        name=name,
        commit=commit,
        metrics={
            combination: flat(file["data"])
            for path, file in metrics.items()
            if (combination := Combination.of(path)) and file.get("data")
        },
        params=params.get("data", {}),
        not_run=sorted({key for stage in stages for each in stage.params for key in _changed_since(each)}),
        _repo=repo,
    )


def _changed_since(dependency: Any) -> Iterator[str]:
    """The keys of a stage's params whose values differ from those in dvc.lock, which it ran with."""
    for keys in dependency.workspace_status().values():
        if isinstance(keys, dict):  # a stage that never ran has no keys
            yield from keys
