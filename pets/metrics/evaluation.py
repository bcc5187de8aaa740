"""What is recorded of a classifier on the test images: scores, predictions, and tables for charts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pets.metrics import metrics
from pets.metrics.bootstrap import bootstrap_intervals

HEADLINE = ("top1", "mean_per_class", "nll")
MOST_PAIRS = 20  # of confused classes, in their table
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # {task: {metric: {"value", "low", "high"}}}


@dataclass(frozen=True)
class Evaluation:
    """``probabilities`` [n, k] of the ``images``, which have columns image_id, label and species.

    ``species`` by class, in the probabilities' order; missing where unknown.
    """

    images: pd.DataFrame
    probabilities: np.ndarray
    species: pd.Series

    @property
    def classes(self) -> list[str]:
        """The labels, in the probabilities' order."""
        return list(self.species.index)

    @property
    def labels(self) -> np.ndarray:
        """The images' labels [n], as indices into the classes."""
        return pd.Categorical(self.images["label"], categories=self.classes).codes.astype(np.int64)

    def by_species(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Probabilities [n, species], labels [n] and the species' names.

        The probability of a species is the sum over its classes. None where a class has no species, there is
        but one, or each class is its own.
        """
        if self.species.isna().any() or self.species.nunique() in (1, len(self.species)):
            return None
        codes, names = pd.factorize(self.species, sort=True)
        members = np.eye(len(names))[codes]  # [classes, species]
        return self.probabilities @ members, codes[self.labels], np.array(names, dtype=object)

    def scores(self, label_name: str, samples: int, seed: int) -> Scores:
        """Every metric with its 95% interval, {task: {metric: {"value", "low", "high"}}}.

        The first task has the data set's own labels and is called ``label_name``; "species" follows where
        known.
        """
        tasks = {label_name: (self.probabilities, self.labels)}
        if (grouped := self.by_species()) is not None:
            tasks["species"] = grouped[:2]
        scores: dict[str, dict[str, dict[str, float]]] = {}
        for name, task in tasks.items():
            intervals = bootstrap_intervals(*task, samples, seed)
            scores[name] = {
                metric: {"value": value, "low": intervals[metric][0], "high": intervals[metric][1]}
                for metric, value in metrics.measure(*task).items()
            }
        return scores

    def predictions(self) -> pd.DataFrame:
        """A row an image: image_id, label, species, what is predicted, its probability, and all of them."""
        table = self.images[["image_id", "label", "species"]].copy()
        table["predicted"] = np.array(self.classes, dtype=object)[self.probabilities.argmax(1)]
        grouped = self.by_species()
        table["predicted_species"] = None if grouped is None else grouped[2][grouped[0].argmax(1)]
        table["probability"] = self.probabilities.max(1)
        table["correct"] = table["predicted"] == table["label"]
        table["probabilities"] = list(self.probabilities.astype(np.float32))
        return table

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables behind the charts of the report and of `dvc plots`, by name."""
        predictions = self.predictions()
        per_class = metrics.per_class(self.probabilities, self.labels, self.classes)
        per_class.insert(1, "species", per_class["label"].map(self.species))
        confusion = metrics.confusion_matrix(self.probabilities, self.labels)
        return {
            "confusion": predictions[["label", "predicted"]].rename(columns={"label": "actual"}),
            "confused_pairs": metrics.confused_pairs(confusion, self.classes, MOST_PAIRS),
            "per_class": per_class,
            "reliability": metrics.reliability(self.probabilities, self.labels),
        }


def headline(scores: Scores) -> dict[str, float]:
    """The few numbers that git keeps and `dvc metrics show` prints, in columns that fit a terminal."""
    first, *_ = scores.values()
    numbers = {name: first[name]["value"] for name in HEADLINE}
    return numbers | ({"species_top1": scores["species"]["top1"]["value"]} if "species" in scores else {})


def most_confident_mistakes(predictions: pd.DataFrame, most: int) -> pd.DataFrame:
    """The wrong predictions with the highest probability, the most confident first."""
    wrong = predictions[~predictions["correct"]]
    return wrong.sort_values(["probability", "image_id"], ascending=[False, True]).head(most)
