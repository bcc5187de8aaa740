"""The page: all results in one HTML file that opens offline, by page.html.j2, page.css and page.js."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from pets.audit.kinds import WRONG
from pets.galleries.figures import display_name, percent
from pets.metrics.metrics import wilson
from pets.report import charts
from pets.report.audit import KINDS
from pets.report.evaluation import (
    MEAN_PER_CLASS,
    TOP1,
    Evaluation,
    Metric,
    chosen_on_validation,
    distinct,
    main_result,
    plural,
    shared_metrics,
)
from pets.report.results import Results
from pets.report.templates import render_page
from pets.report.tricks import points
from pets.report.verdicts import against_the_chosen

ID = 'data-page=""'  # where the page's id is put


@dataclass(frozen=True)
class DataSet:
    """All evaluations of one data set, in the order of the run."""

    name: str
    evaluations: list[Evaluation]

    @property
    def provenance(self) -> dict[str, Any]:
        """What its evaluations have in common: source, classes, archives, images."""
        return self.evaluations[0].provenance

    @property
    def backbones(self) -> dict[str, dict[str, Any]]:
        """Each backbone's provenance, by name."""
        return {each.backbone: each.provenance["backbone"] for each in self.evaluations}

    @property
    def heads(self) -> list[str]:
        """The heads' names, in the order of the run."""
        return list(dict.fromkeys(each.head for each in self.evaluations))

    @property
    def chosen(self) -> Evaluation:
        """The combination with the best validation score."""
        return chosen_on_validation(self.evaluations)

    @property
    def chance(self) -> float:
        """Top-1 of predicting the test images' most frequent class for all of them."""
        return float(self.chosen.predictions["label"].value_counts(normalize=True).iloc[0])

    @property
    def wilson(self) -> dict[str, tuple[float, float]]:
        """Wilson's 95% interval of top-1, by key, where the bootstrap's has no width."""
        found = {}
        for each in self.evaluations:
            low, high = TOP1.interval(each)
            if low == high:
                correct = each.predictions["correct"]
                ends = wilson(np.array([correct.sum()]), np.array([len(correct)]))
                found[each.key] = float(ends[0][0]), float(ends[1][0])
        return found

    @property
    def mistakes(self) -> pd.DataFrame:
        """The chosen combination's wrong predictions."""
        predictions = self.chosen.predictions
        return predictions[~predictions["correct"]]


@dataclass(frozen=True)
class Forest:
    """One metric of every evaluation on one axis; ``band``, the best one's interval, is shaded behind all."""

    metric: Metric
    axis: charts.Axis
    band: tuple[float, float]

    def track(self, evaluation: Evaluation) -> Markup:
        """The evaluation's dot and interval."""
        value, interval = self.metric.value(evaluation), self.metric.interval(evaluation)
        return charts.interval_track(value, interval, self.axis, self.band)


def render(results: Results) -> tuple[str, str]:
    """The page as HTML, and its id: the sha256 of the page without it.

    The same results give the same bytes.
    """
    evaluations = results.evaluations
    datasets = [DataSet(name, list(each)) for name, each in groupby(evaluations, lambda each: each.dataset)]
    filters: dict[str, Callable[..., Any]] = {
        "plural": plural,
        "points": points,
        "readable": display_name,
        "thousands": "{:,}".format,
        "written": _written,
    }
    html = render_page(
        Path(__file__).parent,
        filters,
        **vars(results),
        against_the_chosen=against_the_chosen,
        against_chance=charts.against_chance,
        axis_around=charts.axis_around,
        axis_track=charts.axis_track,
        backbones=distinct([each.provenance["backbone"] for each in evaluations]),
        bar_track=charts.bar_track,
        confusion=_confusion,
        datasets=datasets,
        difference_track=charts.interval_track,
        effects_track=charts.effects_track,
        forests=_forests,
        kinds_of_suspects=KINDS,
        learning_curves=charts.learning_curves,
        loss_curves=charts.loss_curves,
        main_result=main_result,
        params={name: value for each in evaluations for name, value in each.provenance["params"].items()},
        per_class=_per_class,
        percent=percent,
        reliability=charts.reliability,
        robustness=charts.robustness,
        score_histogram=charts.score_histogram,
        shared_metrics=shared_metrics,
        top1=TOP1,
        training_history=charts.training_history,
        validation_curve=charts.validation_curve,
        versions=distinct([each.provenance["versions"] for each in evaluations]),
        whole=charts.WHOLE,
        wrong_label=WRONG,
        whole_points=lambda value: points(value).removesuffix(".0"),
    )
    page_id = hashlib.sha256(html.encode()).hexdigest()
    return html.replace(ID, f'{ID[:-1]}{page_id}"', 1), page_id


def _forests(dataset: DataSet) -> list[Forest]:
    forests = []
    for metric in (TOP1, MEAN_PER_CLASS):
        intervals = [metric.interval(each) for each in dataset.evaluations]
        best = max(dataset.evaluations, key=metric.value)
        forests.append(Forest(metric, charts.axis_around(intervals), metric.interval(best)))
    return forests


def _confusion(evaluation: Evaluation) -> Markup:
    """The confusion matrix, with the classes sorted by species and name."""
    classes = evaluation.per_class.sort_values(["species", "label"])
    labels = list(classes["label"])
    table = pd.crosstab(evaluation.predictions["label"], evaluation.predictions["predicted"])
    counts = table.reindex(index=labels, columns=labels, fill_value=0).to_numpy(np.int64)
    return charts.confusion_matrix(labels, list(classes["species"]), counts)


def _per_class(evaluation: Evaluation) -> list[Any]:
    """Rows of per_class.csv, the best first and classes without test images last."""
    ordered = evaluation.per_class.sort_values(["accuracy", "label"], ascending=[False, True])
    return list(ordered.itertuples())


def _written(value: Any) -> str:
    """A value from a JSON file as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(_written, value)) or "none"
    return str(value)
