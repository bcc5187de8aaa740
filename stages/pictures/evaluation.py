"""What an evaluation left behind, as the page and the summary show it."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages.errors import UserError
from stages.files import read_json

FILES = (
    "metrics.json",
    "intervals.json",
    "predictions.parquet",
    "reliability.csv",
    "per_class.csv",
    "confused_pairs.csv",
    "validation.csv",
    "provenance.json",
)


@dataclass(frozen=True)
class Mistake:
    """A wrong guess on a test image: the truth, the guess, its probability, and the thumbnail."""

    image_id: str
    label: str
    predicted: str
    probability: float
    jpeg: str  # base64


@dataclass(frozen=True)
class Evaluation:
    """How one head on one backbone did on a data set's test images, and where all of it came from.

    ``metrics`` and ``intervals`` are ``{task: {metric: value or [low, high]}}``; the first task is the
    data set's own label ("breed"), "species" may follow.
    """

    dataset: str
    backbone: str
    head: str
    metrics: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, list[float]]]
    predictions: pd.DataFrame
    reliability: pd.DataFrame
    per_class: pd.DataFrame
    confused_pairs: pd.DataFrame
    validation: pd.DataFrame
    mistakes: list[Mistake]
    provenance: dict[str, Any]

    @property
    def key(self) -> str:
        """``dataset/backbone/head``: the evaluation's folder and its address on the page."""
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

    def of(self, evaluation: Evaluation) -> float:
        """The value in 0..1, or in nats for NLL."""
        return evaluation.metrics[self._task(evaluation)][self.key]

    def interval(self, evaluation: Evaluation) -> list[float]:
        """The 95% interval, ``[low, high]``, in the value's unit."""
        return evaluation.intervals[self._task(evaluation)][self.key]

    def text(self, value: float) -> str:
        """The value as tables show it: percent with one decimal, nats with three."""
        return f"{100 * value:.1f}" if self.percent else f"{value:.3f}"

    def best(self, evaluations: Sequence[Evaluation]) -> float:
        """The best value among the evaluations."""
        return (max if self.higher_is_better else min)(self.of(each) for each in evaluations)

    def _task(self, evaluation: Evaluation) -> str:
        return self.task or next(iter(evaluation.metrics))


TOP1 = Metric("Top-1", "top1", "Of all test images, the share whose first guess is right.")
MEAN_PER_CLASS = Metric(
    "Mean per-class",
    "mean_per_class_accuracy",
    "Accuracy within each class, then the mean: a rare class counts as much as a common one.",
)
HEADLINE = (
    TOP1,
    Metric("Top-5", "top5", "The share with the truth among the five likeliest guesses."),
    MEAN_PER_CLASS,
    Metric(
        "Macro F1",
        "macro_f1",
        "F1 balances finding all images of a class with naming only those; the mean over classes.",
    ),
    Metric(
        "NLL",
        "nll",
        "Negative log-likelihood: the surprise at the truth, in nats. Sure and wrong costs the most.",
        percent=False,
        higher_is_better=False,
    ),
    Metric(
        "ECE",
        "ece",
        "Expected calibration error: how far stated probabilities lie from how often they hold.",
        higher_is_better=False,
    ),
    Metric("Species", "top1", "Top-1 when only cat or dog is asked for.", task="species"),
)


def headline(evaluations: Sequence[Evaluation]) -> list[Metric]:
    """The columns that every one of a data set's evaluations has."""
    return [metric for metric in HEADLINE if all(_has(each, metric) for each in evaluations)]


def _has(evaluation: Evaluation, metric: Metric) -> bool:
    return metric.key in evaluation.metrics.get(metric._task(evaluation), {})


def read_all(root: Path, combinations: Sequence[tuple[str, str, str]]) -> list[Evaluation]:
    """The evaluations of all (dataset, backbone, head) combinations, in their order.

    Raises UserError where any is not there yet, and names them.
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
        metrics=read_json(folder / "metrics.json"),
        intervals=read_json(folder / "intervals.json"),
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


def _mistakes(folder: Path, predictions: pd.DataFrame) -> list[Mistake]:
    """The thumbnails, ``<rank>_<image_id>.jpg``, with what was guessed on each."""
    rows = predictions.set_index("image_id").to_dict("index")
    mistakes = []
    for file in sorted(folder.glob("*.jpg"), key=lambda file: int(file.name.partition("_")[0])):
        image_id = file.stem.partition("_")[2]
        row = rows[image_id]
        jpeg = base64.b64encode(file.read_bytes()).decode("ascii")
        mistakes.append(Mistake(image_id, row["label"], row["predicted"], row["probability"], jpeg))
    return mistakes


def chosen_on_validation(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The evaluation with the best validation score: what one picks without looking at the test."""
    return max(evaluations, key=lambda each: each.validation_score)


def finding(evaluations: Sequence[Evaluation]) -> str:
    """One data set's result in one sentence, for the combination that validation chose."""
    best = chosen_on_validation(evaluations)
    label, images = best.provenance["label_name"], len(best.predictions)
    kind = "drawn test images" if best.provenance["drawn"] else "test photographs"
    return (
        f"The {best.head} head on frozen {best.backbone} features names the right {label} "
        f"for {TOP1.text(TOP1.of(best))}% of {images:,} {kind}."
    )


def readable(label: str) -> str:
    """A label for people: ``american_bulldog`` becomes ``American bulldog``."""
    words = label.replace("_", " ")
    return words[:1].upper() + words[1:]


def plural(noun: str) -> str:
    """``breeds``, ``classes``."""
    return noun + ("es" if noun.endswith("s") else "s")


def distinct(contents: Sequence[Any]) -> list[Any]:
    """The different ones among JSON-like contents, in their first order."""
    return list({json.dumps(each, sort_keys=True): each for each in contents}.values())
