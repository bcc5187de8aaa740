"""The page: everything an evaluation found, in one HTML file that opens offline.

page.html.j2, page.css and page.js beside this module are its data files. Labels, ids and file names come from
other people's archives: the template escapes all of them, and the page's own policy lets no browser fetch
anything or run any script but the page's.
"""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from stages.galleries.figures import percent
from stages.pictures import charts
from stages.pictures.attack import Attack
from stages.pictures.evaluation import (
    MEAN_PER_CLASS,
    TOP1,
    Evaluation,
    Metric,
    chosen_on_validation,
    distinct,
    finding,
    headline,
    plural,
    readable,
)
from stages.pictures.sights import Sights

HERE = Path(__file__).parent


@dataclass(frozen=True)
class DataSet:
    """All evaluations of one data set, in the order of the run."""

    name: str
    evaluations: list[Evaluation]

    @property
    def provenance(self) -> dict[str, Any]:
        """What all its evaluations share: source, classes, archives, images."""
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


@dataclass(frozen=True)
class Forest:
    """One metric of every evaluation on one axis; the best one's interval is the band behind all."""

    metric: Metric
    axis: charts.Axis
    band: list[float]

    def track(self, evaluation: Evaluation) -> Markup:
        """The evaluation's dot and interval."""
        value, interval = self.metric.of(evaluation), self.metric.interval(evaluation)
        return charts.interval_track(value, interval, self.axis, self.band)


def render(
    evaluations: Sequence[Evaluation],
    attacks: Mapping[str, Attack],
    transfers: Mapping[tuple[str, str], pd.DataFrame],
    sights: Sights,
    commit: str,
) -> str:
    """The page as HTML: the same results and commit give the same bytes.

    ``attacks`` by ``dataset/backbone/head``, ``transfers`` by (dataset, head).
    """
    datasets = [DataSet(name, list(each)) for name, each in groupby(evaluations, lambda each: each.dataset)]
    script = (HERE / "page.js").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "readable": readable,
        "plural": plural,
        "thousands": "{:,}".format,
        "written": _written,
    }
    return environment.get_template("page.html.j2").render(
        attacks=attacks,
        transfers=transfers,
        datasets=datasets,
        backbones=distinct([each.provenance["backbone"] for each in evaluations]),
        commit=commit,
        params=distinct([each.provenance["params"] for each in evaluations]),
        versions=distinct([each.provenance["versions"] for each in evaluations]),
        style=Markup((HERE / "page.css").read_text("utf-8")),  # noqa: S704 (the project's own file)
        script=Markup(script),  # noqa: S704 (the project's own file)
        script_sum=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        axis_track=charts.axis_track,
        bar_track=charts.bar_track,
        confusion=_confusion,
        finding=finding,
        forests=_forests,
        headline=headline,
        per_class=_per_class,
        percent=percent,
        reliability=charts.reliability,
        robustness=charts.robustness,
        sights=sights,
        top1=TOP1,
        validation_curve=charts.validation_curve,
        whole=charts.WHOLE,
    )


def _forests(dataset: DataSet) -> list[Forest]:
    forests = []
    for metric in (TOP1, MEAN_PER_CLASS):
        intervals = [metric.interval(each) for each in dataset.evaluations]
        best = max(dataset.evaluations, key=metric.of)
        forests.append(Forest(metric, charts.axis_around(intervals), metric.interval(best)))
    return forests


def _confusion(evaluation: Evaluation) -> Markup:
    """Classes in the order of their species and name, so that cats stand with cats."""
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
    """A value of a JSON file as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(_written, value)) or "none"
    return str(value)
