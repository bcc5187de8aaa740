"""The short summary in Markdown, for people who read results where they read code."""

import html
from collections.abc import Mapping, Sequence
from itertools import groupby

from stages.pictures.attack import Attack
from stages.pictures.evaluation import Evaluation, finding, headline


def render(evaluations: Sequence[Evaluation], attacks: Mapping[str, Attack], commit: str) -> str:
    """A table of the headline numbers per data set, where they came from, and the way to the page."""
    parts = ["# Results", "[index.html](index.html) shows all of this and more; it opens offline."]
    for name, each in groupby(evaluations, lambda each: each.dataset):
        chosen = list(each)
        parts += _dataset(name, chosen)
        parts += _attacks(chosen, attacks)
    parts.append(f"Commit: {_plain(commit)}")
    return "\n\n".join(parts) + "\n"


def _dataset(name: str, evaluations: list[Evaluation]) -> list[str]:
    metrics = headline(evaluations)
    rows = [["Backbone", "Head", *(f"{m.name} {'↑' if m.higher_is_better else '↓'}" for m in metrics)]]
    rows.append(["---", "---", *("---:" for _ in metrics)])
    for each in evaluations:
        cells = []
        for metric in metrics:
            low, high = metric.interval(each)
            value = metric.text(metric.of(each))
            best = len(evaluations) > 1 and metric.of(each) == metric.best(evaluations)
            cells.append(f"{f'**{value}**' if best else value} ({metric.text(low)}–{metric.text(high)})")
        rows.append([_plain(each.backbone), _plain(each.head), *cells])
    source = evaluations[0].provenance
    archives = [
        f"- {_plain(a['name'])}, md5 `{_plain(a['md5'])}`, {_plain(a['url'])}" for a in source["archives"]
    ]
    backbones = {each.backbone: each.provenance["backbone"] for each in evaluations}
    weights = [
        f"- {_plain(name)}, sha256 `{_plain(used['weights_sha256'])}`, `{_plain(used['weights_file'])}`"
        for name, used in backbones.items()
    ]
    drawn = "**Drawn, not photographs:** these numbers say nothing about real animals."
    return [
        f"## {_plain(name)}",
        *([drawn] if source["drawn"] else []),
        _plain(finding(evaluations)),
        "\n".join(f"| {' | '.join(row)} |" for row in rows),
        f"On {source['images']['test']:,} test images; percent, NLL in nats; in brackets the 95% interval; "
        "bold is the best of its column.",
        "\n".join(archives + weights),
    ]


def _attacks(evaluations: list[Evaluation], attacks: Mapping[str, Attack]) -> list[str]:
    """Robust accuracy of each backbone and head: a column for each epsilon."""
    curves = [(each, attacks[each.key].metrics["robust_accuracy"]) for each in evaluations]
    columns = list(curves[0][1])
    rows = [["Attacked", *columns], ["---", *("---:" for _ in columns)]]
    for each, curve in curves:
        shares = [f"{100 * curve[name]:.1f}" for name in columns]
        rows.append([_plain(f"{each.backbone}, {each.head}"), *shares])
    return [
        "### Under attack",
        "\n".join(f"| {' | '.join(row)} |" for row in rows),
        f"Robust accuracy in percent on {attacks[evaluations[0].key].images} test images when every pixel "
        "may change by that much: PGD, untargeted, L-infinity, white box, pixels before saving.",
    ]


def _plain(text: object) -> str:
    """Text from elsewhere that can neither end a table's cell nor become HTML."""
    return html.escape(" ".join(str(text).split()), quote=False).replace("|", "\\|")
