"""A git history of evaluations, made quickly: with real git and DVC, but without the networks."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tests.conftest import Workspace
from tests.report.generated import breeds, probabilities, provenance, write_evaluation

NASTY = '<script>document.title="caught"</script>'
EACH = 12  # test images of a class
DVC_YAML = """
stages:
  catalog:
    matrix: {dataset: "${run.datasets}"}
    cmd: the test writes it
    outs: ["data/${item.dataset}/raw", "data/${item.dataset}/catalog.parquet"]
  evaluate:
    matrix: {dataset: "${run.datasets}", backbone: "${run.backbones}", head: "${run.heads}"}
    cmd: the test writes it
    params: [evaluate, seed]
    outs:
    - evaluations/${item.dataset}/${item.backbone}/${item.head}/predictions.parquet
    - evaluations/${item.dataset}/${item.backbone}/${item.head}/provenance.json
    - evaluations/${item.dataset}/${item.backbone}/${item.head}/scores.json
    metrics:
    - evaluations/${item.dataset}/${item.backbone}/${item.head}/metrics.json: {cache: false}
"""


@dataclass
class History:
    """A workspace whose commits hold evaluations."""

    workspace: Workspace

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.workspace.path

    def evaluate(
        self,
        strengths: dict[str, float],
        dataset: str = "pets",
        species: dict[str, str] | None = None,
        prefix: str = "",
        bootstrap: int = 200,
        nested: bool = False,
    ) -> None:
        """Write the evaluations of ``backbone/head``: strength, as a run of the pipeline would, and commit
        them to DVC. The noise does not depend on the strength: images that are hard stay hard.

        ``nested``: as the pipeline wrote metrics before there was a scores.json.
        """
        species = species or breeds() | {NASTY: "dog"}
        backbones, heads = (
            list(dict.fromkeys(each)) for each in zip(*(k.split("/") for k in strengths), strict=True)
        )
        params = {
            "run": {"datasets": [dataset], "backbones": backbones, "heads": heads},
            "seed": 7,
            "datasets": {dataset: {"source": "sample" if dataset == "sample" else "oxford-iiit-pet"}},
            "evaluate": {"bootstrap": bootstrap},
        }
        (self.path / "params.yaml").write_text(json.dumps(params))  # JSON is YAML
        lines = [line for line in DVC_YAML.splitlines() if not (nested and line.endswith("scores.json"))]
        (self.path / "dvc.yaml").write_text("\n".join(lines))
        truth = np.repeat(np.arange(len(species)), EACH)
        names = [each.replace("/", "-") for each in species]
        ids = [f"{prefix}{names[of]}_{i}" for i, of in enumerate(truth)]
        shutil.rmtree(self.path / "evaluations", ignore_errors=True)
        self._pictures(dataset, ids)
        for key, strength in strengths.items():
            backbone, head = key.split("/")
            p = probabilities(truth, len(species), strength, seed=len(head))
            folder = self.path / "evaluations" / dataset / backbone / head
            origin = provenance(dataset, backbone, head, species, len(truth))
            write_evaluation(folder, species, ids, truth, p, [("1", "penalty", 0.8, 0.5, True)], origin)
            if nested:
                nest(folder)
        self.workspace.run("dvc", "commit", "-f", "-q")

    def commit(self, tag: str) -> None:
        """A git commit of everything, with a tag."""
        self.workspace.run("git", "add", "-A")
        self.workspace.run("git", "commit", "-q", "--allow-empty", "-m", tag)
        self.workspace.run("git", "tag", tag)

    def _pictures(self, dataset: str, ids: list[str]) -> None:
        folder = self.path / "data" / dataset
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "raw").mkdir(parents=True)
        rows = []
        for i, image_id in enumerate(ids):
            file = folder / "raw" / f"{image_id}.png"
            Image.new("RGB", (32, 24), (37 * i % 256, 90, 140)).save(file)
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            rows.append({"image_id": image_id, "path": file.name, "sha256": sha256})
        pd.DataFrame(rows).to_parquet(folder / "catalog.parquet", index=False)


def nest(folder: Path) -> None:
    """Make of an evaluation's scores.json the metrics.json of earlier commits."""
    scores = json.loads((folder / "scores.json").read_text())
    (folder / "scores.json").unlink()
    metrics = {
        task: {
            key.replace("mean_per_class", "mean_per_class_accuracy"): each["value"]
            for key, each in of.items()
        }
        for task, of in scores.items()
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
