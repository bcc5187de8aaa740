"""Time and peak memory against rows, both on logarithmic axes, as an SVG for light and dark pages."""

import numpy as np
import pandas as pd

from pets.report.charts import tag

# Okabe and Ito's colours, which the colour-blind tell apart; each line is named at its end as well.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c7a00", "#808080")
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #222 } .title { font-size: 15px; font-weight: 600 }
.grid { stroke: #ddd } path { fill: none; stroke-width: 2 } .page { fill: #fff }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .grid { stroke: #444 } .page { fill: #161616 } }
"""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 380, 60, 120, 40, 50


def draw(table: pd.DataFrame) -> str:
    """``table`` has step, rows, seconds and peak_mib."""
    panels = [
        _panel(table, "seconds", "Time (s)", 0),
        _panel(table, "peak_mib", "Peak memory (MiB)", WIDTH),
    ]
    page = tag("rect", class_="page", width=2 * WIDTH, height=HEIGHT)
    return str(
        tag(
            "svg", tag("style", STYLE), page, *panels,
            xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {2 * WIDTH} {HEIGHT}",
        )
    )  # fmt: skip


def _panel(table: pd.DataFrame, column: str, title: str, left: float) -> str:
    rows, values = table["rows"].to_numpy(float), table[column].to_numpy(float)
    low, high = np.floor(np.log10(values.min())), np.ceil(np.log10(values.max()))
    first, last = np.log10(rows.min()), np.log10(rows.max())

    def x(row: float) -> float:
        return float(LEFT + (np.log10(row) - first) / (last - first) * (WIDTH - LEFT - RIGHT))

    def y(value: float) -> float:
        return float(HEIGHT - BOTTOM - (np.log10(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM))

    marks = [tag("text", title, x=LEFT, y=22, class_="title")]
    for power in range(int(low), int(high) + 1):
        at = y(10.0**power)
        marks.append(tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at))
        marks.append(tag("text", f"{10.0**power:,g}", x=LEFT - 8, y=at + 4, text_anchor="end"))
    for row in sorted(set(rows)):
        marks.append(tag("text", f"{row:,.0f}", x=x(row), y=HEIGHT - BOTTOM + 20, text_anchor="middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    marks.append(tag("text", "rows", x=middle, y=HEIGHT - 8, text_anchor="middle"))
    ends: list[tuple[float, float, str, str]] = []
    for colour, (step, part) in zip(COLOURS, table.groupby("step", sort=False), strict=False):
        points = [
            (x(row), y(value))
            for row, value in zip(part["rows"].to_numpy(float), part[column].to_numpy(float), strict=True)
        ]
        path = "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in points)
        marks.append(tag("path", d=path, stroke=colour))
        marks += [tag("circle", cx=across, cy=down, r=3, fill=colour) for across, down in points]
        ends.append((*points[-1], str(step), colour))
    highest, end = HEIGHT - BOTTOM + 11.0, WIDTH - RIGHT + 12
    for across, height, name, colour in sorted(ends, key=lambda each: -each[1]):
        down = highest = min(height, highest - 15)  # names overlap neither each other nor the axis
        marks.append(
            tag("path", d=f"M{across:.1f} {height:.1f}L{end} {down:.1f}", stroke=colour, opacity="0.3")
        )
        marks.append(tag("text", name, x=end + 4, y=down + 4))
    return tag("g", *marks, transform=f"translate({left} 0)")
