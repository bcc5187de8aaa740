"""Charts as SVG: text stays text in the page's font, and page.css gives every colour.

Each function returns markup that is safe to put on a page: labels are escaped on the way in. The same numbers
give the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from pets.galleries.figures import display_name
from pets.report.curves import Curves
from pets.report.tricks import Effect


def tag(name: str, *children: str, **attributes: str | float) -> Markup:
    """An SVG element; ``_`` in attribute names becomes ``-``; children that are not markup are escaped."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for key, value in attributes.items()
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>")  # noqa: S704 (everything in it is escaped above)


def _short(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def _percent(position: float) -> str:
    return f"{_short(100 * position)}%"


# Tracks in rows of tables: as wide as their cell, with positions in percent, so that they fit any screen.


@dataclass(frozen=True)
class Axis:
    """The range that a column of tracks shows, in the unit of its values (0..1)."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> str:
        """The position of a value on the track, as a CSS percentage."""
        return _percent((value - self.low) / (self.high - self.low))


WHOLE = Axis(0, 1, (0, 0.25, 0.5, 0.75, 1))


def axis_around(intervals: Sequence[Sequence[float]]) -> Axis:
    """The narrowest axis with round ends and 3 to 6 ticks on which all intervals fit."""
    low, high = min(each[0] for each in intervals), max(each[1] for each in intervals)
    for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5):
        first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
        if last - first <= 5:
            break
    first, last = (first, last) if last - first >= 2 else (first - 1, last + 1)
    ticks = tuple(round(i * step, 3) for i in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def axis_track(axis: Axis, text: Callable[[float], str] = lambda tick: f"{100 * tick:.3g}") -> Markup:
    """The axis's numbers, in percent or as ``text`` writes them, for the last row of a column of tracks."""
    numbers = [tag("text", text(tick), x=axis.at(tick), y=14, text_anchor="middle") for tick in axis.ticks]
    return tag("svg", *numbers, class_="track axis", aria_hidden="true")


def track(axis: Axis, *marks: Markup, behind: Sequence[Markup] = (), zero: str = "grid") -> Markup:
    """The marks in front of the axis's grid; ``zero`` is the class of the grid's line at zero."""
    grid = [
        tag("line", class_="grid" if tick else zero, x1=axis.at(tick), x2=axis.at(tick), y1=0, y2="100%")
        for tick in axis.ticks
    ]
    return tag("svg", *behind, *grid, *marks, class_="track", aria_hidden="true")


def interval_track(
    value: float, interval: Sequence[float], axis: Axis, band: Sequence[float] | None = None
) -> Markup:
    """A dot with its interval; ``band``, the interval of the row to compare with, is shaded behind.

    Without a band the value is a difference, and the line at zero is marked.
    """
    marks = _whisker(interval, axis), tag("circle", class_="dot", cx=axis.at(value), cy="50%", r=5.5)
    if band is None:
        return track(axis, *marks, zero="zero")
    return track(axis, *marks, behind=[_span("band", band[0], band[1], axis, y=0, height="100%")])


def bar_track(value: float, interval: Sequence[float]) -> Markup:
    """A bar from 0 to ``value`` with its interval as a whisker; NaN (no images) leaves the track empty."""
    if np.isnan(value):
        return track(WHOLE)
    return track(WHOLE, _span("bar", 0, value, WHOLE, y="22%", height="56%"), _whisker(interval, WHOLE))


def against_chance(value: float, interval: Sequence[float], chance: float) -> Markup:
    """A dot with its interval on the axis from 0 to 1, and a dashed line at ``chance``."""
    at = WHOLE.at(chance)
    line = tag("line", class_="chance", x1=at, x2=at, y1=0, y2="100%")
    return track(
        WHOLE,
        line,
        _whisker(interval, WHOLE),
        tag("circle", class_="dot", cx=WHOLE.at(value), cy="50%", r=5.5),
    )


def effects_track(effects: Sequence[Effect], axis: Axis) -> Markup:
    """Up to two differences below each other, the second with a ring; one beyond the axis is an arrow."""
    marks = []
    for number, each in enumerate(effects):
        if np.isnan(each.low):
            continue
        y = ("30%", "72%")[number] if len(effects) > 1 else "50%"
        low, high = (min(max(end, axis.low), axis.high) for end in (each.low, each.high))
        if low < high:
            ends = {"x1": axis.at(low), "x2": axis.at(high), "y1": y, "y2": y}
            marks.append(tag("line", class_=f"whisker {each.sign}", **ends))
        if axis.low <= each.effect <= axis.high:
            kind = ("dot", "ring")[number]
            marks.append(tag("circle", class_=f"{kind} {each.sign}", cx=axis.at(each.effect), cy=y, r=4.5))
        else:
            at, arrow = (axis.low, "◂") if each.effect < axis.low else (axis.high, "▸")
            marks.append(
                tag("text", arrow, class_=each.sign, x=axis.at(at), y=y, dy=".35em", text_anchor="middle")
            )
    return track(axis, *marks, zero="zero")


def _whisker(interval: Sequence[float], axis: Axis) -> Markup:
    low, high = interval
    return tag("line", class_="whisker", x1=axis.at(low), x2=axis.at(high), y1="50%", y2="50%")


def _span(kind: str, low: float, high: float, axis: Axis, y: str | float, height: str) -> Markup:
    width = _percent((high - low) / (axis.high - axis.low))
    return tag("rect", class_=kind, x=axis.at(low), y=y, width=width, height=height)


# Charts that stand alone.


def confusion_matrix(labels: Sequence[str], species: Sequence[str], counts: np.ndarray) -> Markup:
    """A k x k grid: rows are the labels, columns the predictions, ``counts[i, j]`` the images.

    ``labels`` are sorted by ``species``; a line separates the groups. A cell's opacity is its share of the
    row's images: correct ones in one colour, mistakes in another, by the square root, so that a single one is
    visible.
    """
    names = [display_name(label) for label in labels]
    k, totals = len(names), counts.sum(axis=1)
    cell = float(np.clip(600 / k, 14, 48))
    margin = 26 + 6.1 * max(map(len, names))  # room for the longest name, at 12.5 px
    size = margin + k * cell + 1
    marks = [tag("rect", class_="plot", x=margin, y=margin, width=k * cell, height=k * cell)]
    for row, column in np.argwhere(counts):
        count, total, correct = int(counts[row, column]), int(totals[row]), row == column
        title = f"{names[row]} classified {'correctly' if correct else f'as {names[column]}'}"
        marks.append(
            tag(
                "rect",
                tag("title", f"{title}: {count} of {total} ({100 * count / total:.1f}%)"),
                class_="hit" if correct else "miss",
                x=margin + column * cell,
                y=margin + row * cell,
                width=cell,
                height=cell,
                fill_opacity=0.08 + 0.92 * (count / total if correct else min(1, 1.6 * count / total) ** 0.5),
                data_at=f"{row},{column}",
            )
        )
    for i, name in enumerate(names):
        middle = margin + (i + 0.5) * cell
        upward = f"translate({_short(middle)} {_short(margin - 6)}) rotate(-90)"
        marks += [
            tag("text", name, class_="row-label", x=margin - 6, y=middle, dy=".35em", text_anchor="end"),
            tag("text", name, class_="column-label", transform=upward, dy=".35em"),
        ]
    first = 0
    for kind, group in groupby(species):
        start, first = margin + first * cell, first + len(list(group))
        marks += _species(kind, start, margin + first * cell)
        if first < k:
            at, end = margin + first * cell, size - 1
            marks.append(tag("line", class_="border", x1=margin, x2=end, y1=at, y2=at))
            marks.append(tag("line", class_="border", x1=at, x2=at, y1=margin, y2=end))
    return tag(
        "svg",
        *marks,
        class_="matrix",
        viewBox=f"0 0 {_short(size)} {_short(size)}",
        style=f"max-width: {_short(size)}px; min-width: min({_short(size)}px, 34rem)",
        role="img",
        tabindex=0,
        data_classes=k,
        aria_label=f"Confusion matrix of {k} classes: {np.trace(counts)} of {counts.sum()} images lie on the "
        "diagonal. Arrow keys move from cell to cell.",
    )


def _species(kind: str, start: float, end: float) -> list[Markup]:
    """A species' name above its columns and beside its rows; nothing where it is unknown."""
    if not kind:
        return []
    name, middle = display_name(kind) + "s", (start + end) / 2
    rotated = f"translate(10 {_short(middle)}) rotate(-90)"
    return [
        tag("line", class_="bracket", x1=start + 2, x2=end - 2, y1=20, y2=20),
        tag("line", class_="bracket", x1=20, x2=20, y1=start + 2, y2=end - 2),
        tag("text", name, class_="species", x=middle, y=13, text_anchor="middle"),
        tag("text", name, class_="species", transform=rotated, dy=".35em", text_anchor="middle"),
    ]


def reliability(table: pd.DataFrame) -> Markup:
    """Confidence against accuracy, with the number of images in each bin below.

    ``table`` has confidence, accuracy (0..1) and images, a row per bin; bins without images are left out.
    """
    table = table[table["images"] > 0]
    confidence, accuracy, images = table[["confidence", "accuracy", "images"]].to_numpy(float).T
    plot = _Plot(top=12, height=280)
    marks = [*plot.frame(WHOLE.ticks, x_ticks=WHOLE.ticks), plot.line("diagonal", (0, 0), (1, 1))]
    marks += [plot.line("gap", (x, x), (x, y)) for x, y in zip(confidence, accuracy, strict=True)]
    marks.append(plot.path(confidence, accuracy))
    base = 382.0  # of the bars below
    for x, y, n in zip(confidence, accuracy, images, strict=True):
        title = f"{n:,.0f} images with a mean probability of {x:.3f}: {100 * y:.1f}% are correct"
        height = max(1.0, 48 * n / images.max())
        place = {"x": plot.x(x) - 6, "y": base - height, "width": 12, "height": height}
        marks.append(plot.dot((x, y), 4.5, title))
        marks.append(tag("rect", tag("title", title), class_="count", **place))
    marks += [
        tag("line", class_="base", x1=plot.left, x2=plot.right, y1=base, y2=base),
        _side_title("Correct", plot.y(0.5)),
        _side_title("Images", base - 24),
        tag(
            "text", "Probability of the prediction", class_="side", x=plot.x(0.5), y=404, text_anchor="middle"
        ),
    ]
    points = "; ".join(
        f"probability {100 * x:.0f}%, correct {100 * y:.0f}%"
        for x, y in zip(confidence, accuracy, strict=True)
    )
    return _chart(marks, height=412, alt=f"Reliability diagram. {points}.")


def validation_curve(table: pd.DataFrame) -> Markup:
    """Top-1 and, below it, NLL on the validation images for each setting tried, evenly spaced.

    ``table`` has setting, parameter, top1, nll and chosen, in the order of the settings.
    """
    n = len(table)
    settings = [str(each) for each in table["setting"]]
    parameter = ", ".join(dict.fromkeys(table["parameter"]))
    places = (np.arange(n) + 0.5) / n
    chosen = int(table["chosen"].to_numpy(bool).argmax())
    marks: list[Markup] = []
    for name, title, top, text in (
        ("top1", "Top-1", 12, _as_percent),
        ("nll", "NLL (nats)", 194, "{:.3g}".format),
    ):
        values = table[name].to_numpy(float)
        room = 0.12 * float(np.ptp(values)) or 0.05
        plot = _Plot(top=top, height=150, low=float(values.min()) - room, high=float(values.max()) + room)
        width = (plot.right - plot.left) / n
        start = plot.x(places[chosen]) - width / 2
        marks.append(tag("rect", class_="chosen", x=start, y=top, width=width, height=plot.height))
        marks += plot.frame(round_ticks(plot.low, plot.high), text=text)
        marks.append(plot.path(places, values))
        for i, setting in enumerate(settings):
            shown = f"{setting}: {title} {text(values[i])}"
            marks.append(plot.dot((places[i], values[i]), 6 if i == chosen else 4, shown))
        marks.append(_side_title(title, top + plot.height / 2))

    longest = 7 * max(map(len, settings))
    rotated = longest > width  # labels that would touch each other
    for x, setting in zip(map(plot.x, places), settings, strict=True):
        if rotated:
            up = f"translate({_short(x + 4)} 358) rotate(-45)"
            marks.append(tag("text", setting, transform=up, text_anchor="end"))
        else:
            marks.append(tag("text", setting, x=x, y=362, text_anchor="middle"))
    below = 386 + (0.7 * longest if rotated else 0)
    marks.append(tag("text", parameter, class_="side", x=plot.x(0.5), y=below, text_anchor="middle"))
    rows = zip(settings, table["top1"].to_numpy(float), table["nll"].to_numpy(float), strict=True)
    points = "; ".join(f"{setting}: top-1 {top1:.3f}, NLL {nll:.3f}" for setting, top1, nll in rows)
    return _chart(marks, height=below + 8, alt=f"Validation curve over {parameter}. {points}.")


def training_history(table: pd.DataFrame) -> Markup:
    """Training loss and validation NLL over epochs and, below them, top-1 on validation.

    ``table`` has epoch, train_loss, validation_nll, validation_top1 and chosen; epoch 0 has no training loss.
    """
    epochs = table["epoch"].to_numpy(float)
    places = (epochs + 0.5) / len(table)
    chosen = int(table["chosen"].to_numpy(bool).argmax())
    losses = [("training loss", "train_loss", 0), ("validation NLL", "validation_nll", 1)]
    marks: list[Markup] = []
    for title, top, text, lines in (
        ("Nats", 12, "{:.3g}".format, losses),
        ("Top-1", 194, _as_percent, [("validation top-1", "validation_top1", 1)]),
    ):
        values = table[[column for _, column, _ in lines]].to_numpy(float)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        room = 0.12 * (high - low) or 0.05
        plot = _Plot(top=top, height=150, low=low - room, high=high + room)
        width = (plot.right - plot.left) / len(table)
        start = plot.x(places[chosen]) - width / 2
        marks.append(tag("rect", class_="chosen", x=start, y=top, width=width, height=plot.height))
        marks += plot.frame(round_ticks(plot.low, plot.high), text=text)
        for name, column, number in lines:
            points = table[column].to_numpy(float)
            known = np.isfinite(points)
            line = [plot.path(places[known], points[known])]
            for epoch, x, y in zip(epochs[known], places[known], points[known], strict=True):
                line.append(plot.dot((x, y), 4.5, f"epoch {epoch:.0f}: {name} {text(y)}"))
            marks.append(tag("g", *line, class_=f"head-{number}"))
        marks.append(_side_title(title, top + plot.height / 2))
    every = -(-len(table) // 12)  # numbers that would touch each other are left out
    for epoch, place in zip(epochs[::every], places[::every], strict=True):
        marks.append(tag("text", f"{epoch:.0f}", x=plot.x(place), y=362, text_anchor="middle"))
    marks.append(tag("text", "Epoch", class_="side", x=plot.x(0.5), y=386, text_anchor="middle"))
    rows = table[["epoch", "validation_nll", "validation_top1"]].itertuples(index=False)
    alt = "; ".join(f"{epoch}: NLL {nll:.3f}, top-1 {top1:.3f}" for epoch, nll, top1 in rows)
    return _chart(marks, height=394, alt=f"Validation over epochs. {alt}.")


def robustness(table: pd.DataFrame) -> Markup:
    """Robust accuracy over epsilon, evenly spaced and in levels of 8 bits.

    ``table`` has attack (PGD, then the reference), epsilon, robust, low, high and saved. Three lines: PGD
    before saving, with its intervals, the reference, and PGD after saving.
    """
    plain, strong = (each for _, each in table.groupby("attack", sort=False))
    levels = [f"{255 * epsilon:.3g}" for epsilon in plain["epsilon"]]
    places = (np.arange(len(plain)) + 0.5) / len(plain)
    plot = _Plot(top=12, height=280)
    marks = plot.frame(WHOLE.ticks)
    for x, low, high in zip(places, plain["low"], plain["high"], strict=True):
        marks.append(plot.line("whisker", (x, low), (x, high)))
    lines = []
    for kind, title, values in (
        ("saved", "PGD, saved with 8 bits", plain["saved"]),
        ("plain", "PGD", plain["robust"]),
        ("strong", "the reference, APGD", strong["robust"]),
    ):
        heights = values.to_numpy(float)
        line = [plot.path(places, heights)]
        for x, y, level in zip(places, heights, levels, strict=True):
            radius = 7.5 if kind == "strong" else 4.5  # a ring, which shows around PGD's dot where they agree
            line.append(plot.dot((x, y), radius, f"{title}, epsilon {level}/255: {100 * y:.1f}% robust"))
        marks.append(tag("g", *line, class_=kind))
        shares = ", ".join(f"{100 * y:.0f}% at {x}/255" for x, y in zip(levels, heights, strict=True))
        lines.append(f"{title}: {shares}")
    for x, level in zip(places, levels, strict=True):
        marks.append(tag("text", level, x=plot.x(x), y=plot.top + plot.height + 18, text_anchor="middle"))
    marks.append(_side_title("Robust accuracy", plot.y(0.5)))
    below = "Epsilon, L∞, in 255ths of the pixels’ range"
    marks.append(tag("text", below, class_="side", x=plot.x(0.5), y=334, text_anchor="middle"))
    return _chart(marks, height=344, alt=f"Robust accuracy. {'; '.join(lines)}.")


def learning_curves(curves: Curves) -> Markup:
    """Top-1 over the number of training images of each class, on a logarithmic scale, a line for each head.

    The lines at the dots reach from the lowest to the highest draw.
    """
    sizes = sorted({size for table in curves.heads.values() for size in table["images_per_class"]})
    span = np.log(max(sizes[-1], 2.0))
    values = [table[["lowest", "highest"]].to_numpy(float) for table in curves.heads.values()]
    ticks = axis_around([(float(each.min()), float(each.max())) for each in values])
    plot = _Plot(top=12, height=280, low=ticks.low, high=ticks.high)
    marks = plot.frame(ticks.ticks)
    if (baseline := curves.without_training) is not None:
        marks.append(plot.line("diagonal", (0, baseline), (1, baseline)))
    lines = []
    for number, (head, table) in enumerate(curves.heads.items()):
        places = 0.04 + 0.92 * np.log(table["images_per_class"].to_numpy(float)) / span
        columns = table[["images_per_class", "top1", "lowest", "highest"]]
        line = [plot.path(places, table["top1"].to_numpy(float))]
        points = []
        for place, (size, mean, lowest, highest) in zip(places, columns.to_numpy(float), strict=True):
            title = f"{head}, training images of each class: {size:.3g}, top-1: {100 * mean:.1f}%"
            if lowest < highest:
                title += f" ({100 * lowest:.1f} to {100 * highest:.1f}%)"
                line.append(plot.line("whisker", (place, lowest), (place, highest)))
            line.append(plot.dot((place, mean), 4.5, title))
            points.append(f"{100 * mean:.1f}% at {size:.3g}")
        marks.append(tag("g", *line, class_=f"head-{number % 4}"))
        lines.append(f"{head}: {', '.join(points)}")
    for size in sizes:
        x = plot.x(0.04 + 0.92 * float(np.log(size)) / span)
        text = "all" if size == sizes[-1] else _short(size)
        marks.append(tag("text", text, x=x, y=plot.top + plot.height + 18, text_anchor="middle"))
    marks.append(_side_title("Top-1", plot.y((plot.low + plot.high) / 2)))
    below = "Training images of each class"
    marks.append(tag("text", below, class_="side", x=plot.x(0.5), y=334, text_anchor="middle"))
    return _chart(marks, height=344, alt=f"Learning curves. {'; '.join(lines)}.")


def loss_curves(curves: Mapping[str, pd.DataFrame]) -> Markup:
    """Training (dashed) and validation loss after each epoch, two lines for each of up to seven recipes.

    ``curves`` by title: epoch, train and validation, in nats. The scale is logarithmic, and ends at 0.01.
    """
    floor = 0.01
    epochs = max(int(table["epoch"].max()) for table in curves.values())
    values = pd.concat(curves.values())[["train", "validation"]].to_numpy(float)
    logs = np.log10(np.clip(values[np.isfinite(values)], floor, None))
    plot = _Plot(top=12, height=240, low=float(logs.min()) - 0.05, high=float(logs.max()) + 0.05)
    ticks = [float(np.log10(each)) for each in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)]
    marks = plot.frame([t for t in ticks if plot.low <= t <= plot.high], text=lambda t: f"{10**t:.1g}")
    span = max(epochs - 1, 1)
    lines = []
    for number, (title, table) in enumerate(curves.items()):
        line = [tag("title", title)]
        for kind in ("train", "validation"):
            good = table[np.isfinite(table[kind])]
            places = (good["epoch"].to_numpy(float) - 1) / span
            heights = np.log10(np.clip(good[kind].to_numpy(float), floor, None))
            line.append(tag("g", plot.path(places, heights), class_=kind))
        marks.append(tag("g", *line, class_=f"recipe-{number % 7}"))
        last = table.iloc[-1]
        lines.append(f"{title}: {last['train']:.2g} on training, {last['validation']:.2g} on validation")
    for epoch in sorted({1, (epochs + 1) // 2, epochs}):
        x = plot.x((epoch - 1) / span)
        marks.append(tag("text", str(epoch), x=x, y=plot.top + plot.height + 18, text_anchor="middle"))
    marks.append(_side_title("Cross-entropy, nats", plot.y((plot.low + plot.high) / 2)))
    below = "Passes over the training images"
    marks.append(tag("text", below, class_="side", x=plot.x(0.5), y=294, text_anchor="middle"))
    return _chart(marks, height=304, alt=f"Loss at the end. {'; '.join(lines)}.")


def score_histogram(table: pd.DataFrame, threshold: float) -> Markup:
    """The share of each group of pictures over the score of unknown ones, a line for each group.

    ``threshold`` is a dashed line, where it is within the scores.
    """
    low, high, top = float(table["from"].min()), float(table["to"].max()), float(table["share"].max())
    plot = _Plot(top=12, height=280, high=1.08 * top)
    span = (high - low) or 1.0
    marks = plot.frame([tick for tick in round_ticks(0, 1.08 * top) if tick >= 0])
    for tick in round_ticks(low, low + span):
        x = plot.x((tick - low) / span)
        text = _short(tick).replace("-", "−")
        marks.append(tag("text", text, x=x, y=plot.top + plot.height + 18, text_anchor="middle"))
    if low <= threshold <= high:
        at = (threshold - low) / span
        marks.append(plot.line("chance", (at, 0), (at, 1.08 * top)))
    lines = []
    for number, (name, rows) in enumerate(table.groupby("pictures", sort=False)):
        middle = (rows["from"].to_numpy(float) + rows["to"].to_numpy(float)) / 2
        shares = rows["share"].to_numpy(float)
        line = plot.path((middle - low) / span, shares)
        marks.append(tag("g", tag("title", str(name)), line, class_=f"head-{number % 4}"))
        lines.append(f"{name}: most at {_short(float(middle[shares.argmax()]))}")
    marks.append(_side_title("Share of the pictures", plot.y(0.54 * top)))
    below = "Score: the higher, the less known"
    marks.append(tag("text", below, class_="side", x=plot.x(0.5), y=334, text_anchor="middle"))
    return _chart(marks, height=344, alt=f"Scores of unknown pictures. {'; '.join(lines)}.")


@dataclass(frozen=True)
class _Plot:
    """A rectangle with axes: x from 0 to 1, y from ``low`` to ``high``; measured in px."""

    top: float
    height: float
    low: float = 0.0
    high: float = 1.0
    left: float = 56.0
    right: float = 406.0

    def x(self, value: float) -> float:
        return self.left + value * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.top + self.height * (self.high - value) / (self.high - self.low)

    def line(self, kind: str, start: tuple[float, float], end: tuple[float, float]) -> Markup:
        (x1, y1), (x2, y2) = start, end
        return tag("line", class_=kind, x1=self.x(x1), y1=self.y(y1), x2=self.x(x2), y2=self.y(y2))

    def path(self, xs: np.ndarray, ys: np.ndarray) -> Markup:
        points = " ".join(f"{_short(self.x(x))},{_short(self.y(y))}" for x, y in zip(xs, ys, strict=True))
        return tag("polyline", class_="curve", points=points)

    def dot(self, at: tuple[float, float], radius: float, title: str) -> Markup:
        return tag("circle", tag("title", title), class_="dot", cx=self.x(at[0]), cy=self.y(at[1]), r=radius)

    def frame(
        self,
        y_ticks: Sequence[float],
        x_ticks: Sequence[float] = (),
        text: Callable[[float], str] | None = None,
    ) -> list[Markup]:
        """Grid lines and their numbers, which ``text`` formats (as percent by default)."""
        text, bottom, marks = text or _as_percent, self.top + self.height, []
        for tick in y_ticks:
            marks.append(self.line("grid", (0, tick), (1, tick)))
            marks.append(
                tag("text", text(tick), x=self.left - 8, y=self.y(tick), dy=".35em", text_anchor="end")
            )
        for tick in x_ticks:
            marks.append(tag("line", class_="grid", x1=self.x(tick), x2=self.x(tick), y1=self.top, y2=bottom))
            marks.append(tag("text", text(tick), x=self.x(tick), y=bottom + 18, text_anchor="middle"))
        return marks


def _chart(marks: list[Markup], height: float, alt: str) -> Markup:
    return tag("svg", *marks, class_="chart", viewBox=f"0 0 420 {_short(height)}", role="img", aria_label=alt)


def _side_title(title: str, middle: float) -> Markup:
    rotated = f"translate(11 {_short(middle)}) rotate(-90)"
    return tag("text", title, class_="side", transform=rotated, text_anchor="middle")


def _as_percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def round_ticks(low: float, high: float) -> list[float]:
    """Two to five round numbers between low and high."""
    rough = (high - low) / 4
    power = 10 ** np.floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    return [float(tick) for tick in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]
