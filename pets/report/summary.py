"""A short summary in Markdown."""

import html
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from pets.report.attacks import Attack
from pets.report.evaluation import Evaluation, main_result, shared_metrics


def render(evaluations: Sequence[Evaluation], attacks: Mapping[str, Attack]) -> str:
    """For each data set a table of its metrics, their provenance, and robust accuracy."""
    parts = ["# Results", "[index.html](index.html) has all of this and more; it opens offline."]
    for name, each in groupby(evaluations, lambda each: each.dataset):
        of_dataset = list(each)
        parts += _dataset(name, of_dataset)
        parts += _attacks(of_dataset, attacks)
    return "\n\n".join(parts) + "\n"


def _dataset(name: str, evaluations: list[Evaluation]) -> list[str]:
    metrics = shared_metrics(evaluations)
    headings = ["Backbone", "Head", *(f"{m.name} {'↑' if m.higher_is_better else '↓'}" for m in metrics)]
    rows = []
    for each in evaluations:
        cells = []
        for metric in metrics:
            low, high = metric.interval(each)
            value = metric.format(metric.value(each))
            best = len(evaluations) > 1 and metric.value(each) == metric.best(evaluations)
            cells.append(f"{f'**{value}**' if best else value} ({metric.format(low)}–{metric.format(high)})")
        rows.append([_plain(each.backbone), _plain(each.head), *cells])
    source = evaluations[0].provenance
    archives = [
        f"- {_plain(each['name'])}, md5 `{_plain(each['md5'])}`, {_plain(each['url'])}"
        for each in source["archives"]
        if not source["synthetic"]
    ]
    backbones = {each.backbone: each.provenance["backbone"] for each in evaluations}
    embedded: dict[str, Any] = {}
    for name, used in backbones.items():
        embedded |= used.get("parts", {name: used})
    weights = [
        f"- {_plain(name)}, sha256 `{_plain(used['weights_sha256'])}`, `{_plain(used['weights_file'])}`"
        for name, used in embedded.items()
    ]
    synthetic = (
        "**Synthetic images, drawn by a program, not photographs:** this says nothing about real animals."
    )
    seen = (
        "**The backbones have seen these pictures:** they were taken from ImageNet, which backbones are "
        "usually trained on, so expect less of pictures that are new."
    )
    return [
        f"## {_plain(name)}",
        *([synthetic] if source["synthetic"] else []),
        *([seen] if source["from_imagenet"] else []),
        _plain(main_result(evaluations)),
        table(headings, rows, first=2),
        f"On {source['images']['test']:,} test images, in percent, NLL in nats; 95% intervals in brackets; "
        "the best of each column in bold.",
        "\n".join(archives + weights),
    ]


def _attacks(evaluations: list[Evaluation], attacks: Mapping[str, Attack]) -> list[str]:
    """Robust accuracy of each backbone and head: a column for each epsilon."""
    curves = [(each, attacks[each.key].summary["robust_accuracy"]) for each in evaluations]
    columns = list(curves[0][1])
    rows = []
    for each, curve in curves:
        masked = attacks[each.key].is_masked
        shares = [f"{100 * curve[name]:.1f}{' (masked)' if masked(name) else ''}" for name in columns]
        rows.append([_plain(f"{each.backbone}, {each.head}"), *shares])
    marked = any("(masked)" in cell for row in rows for cell in row)
    explained = " Masked: other attacks beat PGD, so this is no robustness." if marked else ""
    return [
        "### Under attack",
        table(["Backbone, head", *columns], rows),
        f"Robust accuracy in percent on {attacks[evaluations[0].key].images} test images where every pixel "
        "may change by that much: what PGD and APGD leave, untargeted, L-infinity, white-box, before saving."
        f"{explained}",
    ]


def table(headings: list[str], rows: list[list[str]], first: int = 1) -> str:
    """A table in Markdown; the columns from ``first`` on are numbers, aligned to the right."""
    aligned = ["---:" if i >= first else "---" for i in range(len(headings))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, aligned, *rows])


def _plain(text: object) -> str:
    """Text from elsewhere as Markdown that neither ends a table cell nor becomes HTML."""
    return html.escape(" ".join(str(text).split()), quote=False).replace("|", "\\|")
