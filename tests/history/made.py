"""A repository of commits that were really evaluated, quickly: real git and DVC, fits on drawn vectors.

Its dvc.yaml has the stages and the files of the project's own, as far as the history reads them. What a stage
does is done here, in the test's process; DVC then hashes, caches and locks it as after a run.
"""

import contextlib
import logging
import subprocess
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dvc.repo import Repo
from ruamel.yaml import YAML

from pets.core.files import remove, write_json
from pets.metrics.evaluation import Evaluation, headline
from pets.metrics.metrics import measure

CLASSES = [f"class {i}" for i in range(8)]
DVC_YAML = """
stages:
  split:
    matrix: {dataset: "${run.datasets}"}
    cmd: made by the test
    deps: [code/split.py]
    params: [images, prefix]
    outs: ["data/${item.dataset}/catalog.parquet", "data/${item.dataset}/splits.parquet"]
  embed:
    matrix: {dataset: "${run.datasets}", backbone: "${run.backbones}"}
    cmd: made by the test
    deps: ["data/${item.dataset}/catalog.parquet", code/embed.py]
    params: [embed]
    outs: ["data/${item.dataset}/embeddings/${item.backbone}.npy"]
  train:
    matrix: &head {dataset: "${run.datasets}", backbone: "${run.backbones}", head: "${run.heads}"}
    cmd: made by the test
    deps:
    - data/${item.dataset}/splits.parquet
    - data/${item.dataset}/embeddings/${item.backbone}.npy
    - code/train.py
    params: [seed, "train.${item.head}"]
    outs: ["models/${item.dataset}/${item.backbone}/${item.head}.npy"]
  evaluate:
    matrix: *head
    cmd: made by the test
    deps:
    - data/${item.dataset}/catalog.parquet
    - data/${item.dataset}/splits.parquet
    - data/${item.dataset}/embeddings/${item.backbone}.npy
    - models/${item.dataset}/${item.backbone}/${item.head}.npy
    outs:
    - evaluations/${item.dataset}/${item.backbone}/${item.head}/predictions.parquet
    - evaluations/${item.dataset}/${item.backbone}/${item.head}/provenance.json
    - evaluations/${item.dataset}/${item.backbone}/${item.head}/scores.json
    metrics:
    - evaluations/${item.dataset}/${item.backbone}/${item.head}/metrics.json: {cache: false}
"""
PARAMS: dict[str, Any] = {
    "run": {"datasets": ["drawn"], "backbones": ["lite0"], "heads": ["linear", "prototype"]},
    "datasets": {"drawn": {"source": "oxford-iiit-pet"}},
    "seed": 7,
    "images": 1600,
    "prefix": "image",
    "embed": {"views": 1},
    "train": {
        "linear": {"penalties": [1, 10]},
        "prototype": {"scales": [0.2, 0.3]},
        "ridge": {"penalties": [30]},
    },
}
EVALUATIONS = "/evaluations/**\n!/evaluations/**/\n!/evaluations/**/metrics.json\n"  # as in the project
STRENGTH = {"lite0": 0.75, "lite2": 1.0}  # of the classes in a backbone's vectors


@dataclass
class Made:
    """The repository; ``params`` and ``code`` are what the next commit has."""

    path: Path
    params: dict[str, Any]
    code: dict[str, str] = field(default_factory=lambda: dict.fromkeys(("split", "embed", "train"), "1\n"))
    shas: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, path: Path) -> "Made":
        """An empty repository."""
        path.mkdir()
        made = cls(path, deepcopy(PARAMS))
        logging.getLogger("dvc").setLevel(logging.WARNING)
        made.git("init", "-q", "-b", "main")
        made.git("config", "user.email", "test@example.org")
        made.git("config", "user.name", "test")
        Repo.init(str(path)).close()
        (path / ".gitignore").write_text(
            "/data/\n/models/\n/evaluations/**\n!/evaluations/**/\n!metrics.json\n"
        )
        (path / "dvc.yaml").write_text(DVC_YAML)
        return made

    @classmethod
    def existing(cls, path: Path) -> "Made":
        """The repository at ``path``, to go on with its last parameters and code."""
        params = YAML(typ="safe").load(path / "params.yaml")
        code = {each.stem: each.read_text() for each in (path / "code").iterdir()}
        made = cls(path, params, code)
        made.shas = made.git("rev-list", "--reverse", "HEAD").split()
        return made

    def copy(self, path: Path) -> "Made":
        """A copy at ``path``, DVC's cache included, to be changed."""
        subprocess.run(["cp", "-a", self.path, path], check=True)  # keeps the links to the cache
        return Made(path, deepcopy(self.params), dict(self.code), list(self.shas))

    def git(self, *words: str) -> str:
        """Run git there."""
        done = subprocess.run(["git", *words], cwd=self.path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def set(self, key: str, value: Any) -> None:
        """Change a parameter by its dotted key."""
        *parents, last = key.split(".")
        section = self.params
        for each in parents:
            section = section[each]
        section[last] = value

    def commit(self, subject: str) -> str:
        """Run what params and code say, and commit it; returns the sha."""
        self.run()
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        self.shas.append(self.git("rev-parse", "HEAD"))
        return self.shas[-1]

    def run(self) -> None:
        """Write what the stages would, and lock it. As under DVC, what is no longer run stays where it is."""
        (self.path / "params.yaml").write_text(_text(self.params))
        for name, text in self.code.items():
            file = self.path / "code" / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        run = self.params["run"]
        for dataset in run["datasets"]:
            catalog = _catalog(self.params["images"], self.params["prefix"])
            folder = self.path / "data" / dataset
            for name in ("catalog", "splits"):
                _parquet(folder / f"{name}.parquet", catalog)
            for backbone in run["backbones"]:
                vectors = _vectors(catalog, STRENGTH[backbone], wrong="wrong" in self.code["embed"])
                _npy(folder / "embeddings" / f"{backbone}.npy", vectors)
                for head in run["heads"]:
                    self._evaluate(catalog, vectors, dataset, backbone, head)
        with contextlib.chdir(self.path), Repo() as repo:
            repo.commit(force=True)

    def _evaluate(
        self, catalog: pd.DataFrame, vectors: np.ndarray, dataset: str, backbone: str, head: str
    ) -> None:
        test = catalog["split"] == "test"
        p = _fit(catalog, vectors, head, self.params["train"][head], self.params["seed"])
        _npy(self.path / "models" / dataset / backbone / f"{head}.npy", p)
        images = catalog[test].reset_index(drop=True)
        species = pd.Series([None] * len(CLASSES), index=CLASSES)
        evaluation = Evaluation(images, p[test.to_numpy()], species)
        scores = evaluation.scores("class", samples=30, seed=0)
        folder = self.path / "evaluations" / dataset / backbone / head
        _parquet(folder / "predictions.parquet", evaluation.predictions())
        write_json(folder / "scores.json", scores)
        write_json(folder / "metrics.json", headline(scores))
        provenance = {
            "dataset": dataset,
            "classes": CLASSES,
            "label_name": "class",
            "backbone": {"weights_sha256": backbone},
            "versions": {"numpy": "2"},
        }
        write_json(folder / "provenance.json", provenance)


def _catalog(count: int, prefix: str) -> pd.DataFrame:
    labels = np.random.default_rng(1).choice(CLASSES, count)
    split = np.resize(["train", "test", "val", "test"], count)
    ids = [f"{prefix}_{i:05}" for i in range(count)]
    columns = {"image_id": ids, "label": labels, "species": None, "split": split, "sha256": ids}
    return pd.DataFrame(columns)


def _vectors(catalog: pd.DataFrame, strength: float, wrong: bool) -> np.ndarray:
    """Class means and noise; a bug in how pictures are read halves the signal of every other image."""
    random = np.random.default_rng(2)
    means = random.normal(size=(len(CLASSES), 16))
    noise = random.normal(size=(len(catalog), 16))
    signal = strength * means[pd.Categorical(catalog["label"], categories=CLASSES).codes]
    if wrong:
        signal[::3] *= 0.3
    return np.asarray(signal + noise)


def _fit(
    catalog: pd.DataFrame, vectors: np.ndarray, head: str, settings: dict[str, Any], seed: int
) -> np.ndarray:
    """Probabilities [n, k] of all images, with the setting that does best on the validation images.

    A seed leaves out some of the training images.
    """
    codes = pd.Categorical(catalog["label"], categories=CLASSES).codes.astype(int)
    train, val = (np.flatnonzero(catalog["split"] == name) for name in ("train", "val"))
    train = np.random.default_rng(seed).choice(train, size=int(0.95 * len(train)), replace=False)
    [values] = settings.values()
    tried = []
    x, y = vectors[train], np.eye(len(CLASSES))[codes[train]]
    for each in values:
        if head == "prototype":
            means = np.stack([x[y[:, i] == 1].mean(0) for i in range(len(CLASSES))])
            scores = -((vectors[:, None] - means) ** 2).sum(2) * each
        else:
            weights = np.linalg.solve(x.T @ x + each * np.eye(x.shape[1]), x.T @ y)
            scores = 8 * vectors @ weights
        exponentials = np.exp(scores - scores.max(1, keepdims=True))
        tried.append(exponentials / exponentials.sum(1, keepdims=True))
    return min(tried, key=lambda p: measure(p[val], codes[val])["nll"])


def _text(params: dict[str, Any]) -> str:
    from io import StringIO

    stream = StringIO()
    YAML(typ="safe").dump(params, stream)
    return stream.getvalue()


def _parquet(file: Path, table: pd.DataFrame) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    remove(file)  # it may be a link to DVC's cache
    table.to_parquet(file, index=False)


def _npy(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    remove(file)
    np.save(file, values)
