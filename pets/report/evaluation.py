"""The files of an evaluation, read for the page and the summary."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pets.core.errors import UserError
from pets.core.files import read_json
from pets.core.names import frozen_twin
from pets.dataset import file_stem

FILES = (
    "scores.json",
    "predictions.parquet",
    "reliability.csv",
    "per_class.csv",
    "confused_pairs.csv",
    "validation.csv",
    "provenance.json",
)


@dataclass(frozen=True)
class Evaluation:
    """How one head on one backbone did on a data set's test images, and its provenance.

    ``scores`` are ``{task: {metric: {"value", "low", "high"}}}``; the first task is the data set's own label
    ("breed"), "species" may follow. ``mistakes`` are rows of ``predictions``, each with its thumbnail as
    ``jpeg``, in base64.
    """

    dataset: str
    backbone: str
    head: str
    scores: dict[str, dict[str, dict[str, float]]]
    predictions: pd.DataFrame
    reliability: pd.DataFrame
    per_class: pd.DataFrame
    confused_pairs: pd.DataFrame
    validation: pd.DataFrame
    mistakes: list[dict[str, Any]]
    provenance: dict[str, Any]

    @property
    def key(self) -> str:
        """``dataset/backbone/head``: the evaluation's folder, and its id on the page."""
        return f"{self.dataset}/{self.backbone}/{self.head}"

    @property
    def validation_score(self) -> tuple[float, float]:
        """Top-1 and minus NLL on the validation images with the chosen setting: higher is better."""
        chosen = self.validation[self.validation["chosen"]].iloc[0]
        return float(chosen["top1"]), -float(chosen["nll"])


@dataclass(frozen=True)
class Metric:
    """A column of the headline table. ``task`` is None for the data set's own label."""

    name: str
    key: str
    meaning: str
    task: str | None = None
    percent: bool = True
    higher_is_better: bool = True

    def value(self, evaluation: Evaluation) -> float:
        """The value in 0..1, or in nats for NLL."""
        return self._score(evaluation)["value"]

    def interval(self, evaluation: Evaluation) -> tuple[float, float]:
        """The ends of the 95% interval, in the value's unit."""
        score = self._score(evaluation)
        return score["low"], score["high"]

    def format(self, value: float) -> str:
        """The value as tables show it: percent with one decimal, nats with three."""
        return f"{100 * value:.1f}" if self.percent else f"{value:.3f}"

    def best(self, evaluations: Sequence[Evaluation]) -> float:
        """The best value among the evaluations."""
        return (max if self.higher_is_better else min)(self.value(each) for each in evaluations)

    def is_in(self, evaluation: Evaluation) -> bool:
        """Whether the evaluation has this metric."""
        return self.key in evaluation.scores.get(self._task(evaluation), {})

    def _score(self, evaluation: Evaluation) -> dict[str, float]:
        return evaluation.scores[self._task(evaluation)][self.key]

    def _task(self, evaluation: Evaluation) -> str:
        return self.task or next(iter(evaluation.scores))


TOP1 = Metric("Top-1", "top1", "Accuracy: the share of the test images whose predicted class is right.")
MEAN_PER_CLASS = Metric(
    "Mean per-class",
    "mean_per_class",
    "The mean of the accuracies of the classes: a rare class counts as much as a common one.",
)
NLL = Metric(
    "NLL",
    "nll",
    "Negative log-likelihood of the right class, in nats. Confident mistakes cost the most.",
    percent=False,
    higher_is_better=False,
)
METRICS = (
    TOP1,
    Metric("Top-5", "top5", "The share with the right class among the five most likely."),
    MEAN_PER_CLASS,
    Metric(
        "Macro F1",
        "macro_f1",
        "F1 is high where both precision and recall are; this is its mean over the classes.",
    ),
    NLL,
    Metric(
        "ECE",
        "ece",
        "Expected calibration error: how far the stated probabilities are from the observed accuracy.",
        higher_is_better=False,
    ),
    Metric("Species", "top1", "Top-1 accuracy where only the species, cat or dog, counts.", task="species"),
)


def shared_metrics(evaluations: Sequence[Evaluation]) -> list[Metric]:
    """The metrics that all of these evaluations have."""
    return [metric for metric in METRICS if all(metric.is_in(each) for each in evaluations)]


def read_all(root: Path, combinations: Sequence[tuple[str, str, str]]) -> list[Evaluation]:
    """The evaluations of all (dataset, backbone, head) combinations, in their order.

    Raises UserError that names those that do not exist yet.
    """
    missing = [
        "/".join(each)
        for each in combinations
        if not all((root.joinpath(*each) / name).exists() for name in FILES)
    ]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise UserError(
            f"not evaluated yet: {shown} (in {root}/). Run `dvc repro`, which makes what is missing."
        )
    return [_read(root.joinpath(*each), *each) for each in combinations]


def _read(folder: Path, dataset: str, backbone: str, head: str) -> Evaluation:
    columns = ["image_id", "label", "predicted", "probability", "correct"]
    predictions = pd.read_parquet(folder / "predictions.parquet", columns=columns)
    validation = _table(folder / "validation.csv", numbers=["top1", "nll"])
    validation["chosen"] = validation["chosen"].str.lower() == "true"
    return Evaluation(
        dataset=dataset,
        backbone=backbone,
        head=head,
        scores=read_json(folder / "scores.json"),
        predictions=predictions,
        reliability=_table(folder / "reliability.csv", numbers=["confidence", "accuracy", "images"]),
        per_class=_table(folder / "per_class.csv", numbers=["accuracy", "low", "high", "images"]),
        confused_pairs=_table(folder / "confused_pairs.csv", numbers=["images", "share"]),
        validation=validation,
        mistakes=_mistakes(folder / "mistakes", predictions),
        provenance=read_json(folder / "provenance.json"),
    )


def _table(path: Path, numbers: list[str]) -> pd.DataFrame:
    """A CSV file whose other columns are text, so that a class named "NA" or "1.0" keeps its name."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.assign(**{name: pd.to_numeric(table[name]) for name in numbers})


def _mistakes(folder: Path, predictions: pd.DataFrame) -> list[dict[str, Any]]:
    """The prediction for each thumbnail, ``<rank>_<file_stem>.jpg``, by rank."""
    stems = predictions["image_id"].map(file_stem)
    rows: dict[Any, Any] = predictions.set_index(stems).to_dict("index")
    files = sorted(folder.glob("*.jpg"), key=lambda file: int(file.name.partition("_")[0]))
    return [
        rows[file.stem.partition("_")[2]] | {"jpeg": base64.b64encode(file.read_bytes()).decode("ascii")}
        for file in files
    ]


def chosen_on_validation(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The evaluation with the best validation score: the choice made without looking at the test images."""
    return max(evaluations, key=lambda each: each.validation_score)


def main_result(evaluations: Sequence[Evaluation]) -> str:
    """One data set's result in one sentence, for the combination that was chosen on validation."""
    best = chosen_on_validation(evaluations)
    label, images = best.provenance["label_name"], len(best.predictions)
    kind = "synthetic test images" if best.provenance["synthetic"] else "test pictures"
    frozen = "" if frozen_twin(best.backbone) else "frozen "
    return (
        f"The {best.head} head on {frozen}{best.backbone} features predicts the right {label} "
        f"for {TOP1.format(TOP1.value(best))}% of {images:,} {kind}."
    )


def plural(noun: str) -> str:
    """``breeds``, ``classes``."""
    return noun + ("es" if noun.endswith("s") else "s")


def distinct(contents: Sequence[Any]) -> list[Any]:
    """JSON-like contents without repetitions, in their first order."""
    return list({json.dumps(each, sort_keys=True): each for each in contents}.values())
