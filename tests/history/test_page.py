"""The page, the Markdown and the terminal: what a reader sees, also by keyboard, on a phone and in dark."""

import re
from io import StringIO
from pathlib import Path

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect
from rich.console import Console

from pets.history import markdown, page, terminal
from pets.history.build import build
from pets.history.result import History
from tests.history.conftest import BACKBONE, BUG, FIX
from tests.history.made import Made
from tests.report.test_page import CONTRASTS

NASTY = "<script>document.title='caught'</script> | [red]`x`[/red]"


@pytest.fixture(scope="module")
def history(forty: Made, tmp_path_factory: pytest.TempPathFactory) -> History:
    """All forty commits, and one with a subject that is neither HTML nor Markdown nor rich's markup."""
    made = forty.copy(tmp_path_factory.mktemp("page") / "copy")
    made.append("README.md", "more")
    made.commit(NASTY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.path)
        return build([f"{made.shas[0]}..HEAD"], None, 30, 30)


@pytest.fixture(scope="module")
def site(history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("site") / "history.html"
    file.write_text(page.render(history), "utf-8")
    return file


def shown(history: History) -> str:
    console = Console(file=StringIO(), width=80, highlight=False, markup=False)
    with console.capture() as capture:
        terminal.show(history, console)
    return capture.get()


def test_it_is_read_in_a_browser_by_keyboard(tab: Page, site: Path, history: History) -> None:
    requests: list[str] = []
    tab.on("request", lambda sent: requests.append(sent.url))
    tab.goto(site.as_uri())
    assert "caught" not in tab.title()
    expect(tab.locator("h1")).to_have_text("3 of 40 steps beyond chance")
    assert "Synthetic, not photographs." in tab.locator(".synthetic").inner_text()
    seen, low = tab.evaluate(CONTRASTS)
    assert seen > 100
    assert low == []

    # The combinations are shown one below the other, a metric at a time.
    charts = tab.locator(".commits:visible")
    assert charts.count() == len(history.lines) == 3
    assert tab.locator(".commits:visible .mark").count() == 6
    tab.locator("#combination").select_option(index=1)
    tab.locator("#metric").select_option("nll")
    assert charts.count() == 1
    assert "NLL, nats" in tab.locator("figure:visible h4").inner_text()

    # The last commit is focused first; keys lead to the others, and to those marked.
    readout = tab.locator(".readout:visible")
    charts.locator(".point[tabindex='0']").focus()
    expect(readout).to_contain_text(history.commits[-1].name)
    for key, subject in (
        ("PageUp", FIX),
        ("Home", "the first results"),
        ("PageDown", BACKBONE),
        ("PageDown", BUG),
    ):
        tab.keyboard.press(key)
        expect(readout).to_contain_text(subject)
    expect(readout).to_contain_text("worse (p < 0.0001")
    expect(readout).to_contain_text("Changed: code: stages/train.py")
    before = history.commits.index(next(each for each in history.commits if each.subject == BUG)) - 1
    tab.keyboard.press("ArrowLeft")
    expect(readout).to_contain_text(history.commits[before].name)
    assert tab.evaluate("document.activeElement.dataset.commit") == str(before)

    # Zoom widens the chart in its frame, not the page, and the focused commit stays in sight.
    width = _box(charts)["width"]
    for key in ("+", "+", "ArrowRight", "End", "Home"):
        tab.keyboard.press(key)
        frame, point = _box(tab.locator(".plot:visible .scroll")), _box(tab.locator(":focus .dot"))
        assert frame["x"] <= point["x"] <= frame["x"] + frame["width"]
    assert _box(charts)["width"] == pytest.approx(4 * width, rel=0.01)
    tab.locator("[data-zoom=fit]").click()
    assert _box(charts)["width"] == pytest.approx(width)

    # Any two commits, from a table's link or chosen.
    tab.locator("details.all:visible summary").click()
    tab.locator(".pick:visible").nth(3).click()
    expect(tab.locator("#command")).to_have_text(
        f"python -m flows.compare {history.commits[3].name} {history.commits[4].name}"
    )
    tab.locator("#older").select_option(history.commits[0].name)
    expect(tab.locator("#command")).to_contain_text(f"compare {history.commits[0].name} ")
    assert requests == [site.as_uri()]


def _box(found: Locator) -> FloatRect:
    box = found.bounding_box()
    assert box
    return box


def test_every_point_has_a_text_and_every_metric_its_interval(history: History) -> None:
    html = page.render(history)
    points = len(history.metrics) * sum(len(line.points) for line in history.lines)
    assert html.count('class="point') == points
    assert len(re.findall(r'aria-label="[0-9a-f]{7} ', html)) == points
    assert html.count('class="whisker"') == points


def test_markdown_has_the_marks_and_folds_the_tables(history: History) -> None:
    text = markdown.render(history)
    assert text.startswith("## 3 of 40 steps beyond chance")
    assert text.count("### ") == 4
    assert text.count("<details>") == text.count("</details>") == 3
    assert "<script>" not in text
    widths = {len(re.findall(r"(?<!\\)\|", row)) for row in text.splitlines() if row.startswith("|")}
    assert widths == {3 + len(history.metrics)}
    assert "are synthetic, drawn by a program" in text


def test_the_terminal_fits_80_columns(history: History) -> None:
    text = shown(history)
    assert text.startswith("3 OF 40 STEPS BEYOND CHANCE")
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text  # nothing is cut off
    assert "pets · efficientnet_lite0 · prototype" in text
    assert "python -m flows.compare" in text
    assert "are synthetic, drawn by a program" in text
