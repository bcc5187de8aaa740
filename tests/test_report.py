import base64
import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page

from stages import report
from stages.errors import UserError
from stages.galleries import figures
from stages.galleries.figures import Figure, Tile
from tests.pictures.generated import (
    breeds,
    probabilities,
    provenance,
    write_attack,
    write_evaluation,
    write_transfer,
)

BACKBONES = ("resnet18", "efficientnet_lite0")
HEADS = ("linear", "knn")
EACH = 12  # test images of a class
NASTY = '<script>document.title="caught"</script>'


def make_run(root: Path, datasets: dict[str, dict[str, str]], **other: Any) -> None:
    """A workspace whose evaluations of all combinations are there."""
    run = {"datasets": list(datasets), "backbones": list(BACKBONES), "heads": list(HEADS)}
    (root / "params.yaml").write_text(json.dumps({"datasets": {name: {} for name in datasets}, "run": run}))
    for dataset, species in datasets.items():
        truth = np.repeat(np.arange(len(species)), EACH)
        ids = [f"{list(species)[of]}_{i}".replace("/", "-") for i, of in enumerate(truth)]
        for i, backbone in enumerate(BACKBONES):
            for j, head in enumerate(HEADS):
                p = probabilities(truth, len(species), 2.2 + 0.6 * i - 0.4 * j, seed=2 * i + j)
                validation = [
                    ("0.01", "penalty", 0.8 + i / 20 - j / 30, 0.5, True),
                    ("1", "penalty", 0.6, 1.5, False),
                ]
                write_evaluation(
                    root / "evaluations" / dataset / backbone / head,
                    species,
                    ids,
                    truth,
                    p,
                    validation,
                    provenance(dataset, backbone, head, species, len(truth), **other),
                )
                write_attack(root / "attacks" / dataset / backbone / head, list(species), ids)
        for head in HEADS:
            write_transfer(root / "transfers" / dataset / head, BACKBONES)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluated")
    make_run(root, {"pets": breeds()})
    return root


@pytest.fixture
def workspace(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may change."""
    shutil.copytree(evaluated, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(root: Path, name: str = "index.html") -> str:
    return (root / "reports" / name).read_text("utf-8")


def test_the_same_evaluations_give_the_same_bytes(workspace: Path) -> None:
    report.main()
    first = written(workspace), written(workspace, "summary.md")
    report.main()
    assert (written(workspace), written(workspace, "summary.md")) == first


def test_times_lie_beside_the_page_and_not_in_it(workspace: Path) -> None:
    report.main()
    before = written(workspace)
    assert written(workspace, "timings.js") == "window.timings = [];\n"
    noted = {"stage": "embed", "backbone": "resnet18", "seconds": 61.25, "peak_mib": 812}
    (workspace / ".timings").mkdir()
    (workspace / ".timings/embed@resnet18.json").write_text(json.dumps(noted))
    report.main()
    assert written(workspace) == before
    script = written(workspace, "timings.js")
    assert json.loads(script.removeprefix("window.timings = ").removesuffix(";\n")) == [noted]


def test_a_missing_evaluation_is_named_with_what_to_do(workspace: Path) -> None:
    (workspace / "evaluations/pets/resnet18/knn/metrics.json").unlink()
    with pytest.raises(UserError, match=r"pets/resnet18/knn .*`dvc repro`"):
        report.main()
    assert not (workspace / "reports").exists()


def test_labels_names_and_reasons_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    species = breeds() | {NASTY: "dog", "a|b": NASTY}
    images = {
        "listed": 2, "usable": 1, "train": 1, "val": 1, "test": 1,
        "duplicates_across_splits": [[NASTY, NASTY]],
        "unreadable": [{"image_id": NASTY, "reason": NASTY}],
    }  # fmt: skip
    archives = [{"name": NASTY, "url": "a|b", "md5": NASTY, "bytes": 1}]
    make_run(
        tmp_path, {"pets": species}, images=images, archives=archives, source=NASTY, params={NASTY: NASTY}
    )
    monkeypatch.chdir(tmp_path)
    report.main()
    assert NASTY not in written(tmp_path)
    assert html.escape(NASTY, quote=False).replace('"', "&#34;") in written(tmp_path)
    summary = written(tmp_path, "summary.md")
    assert NASTY not in summary
    assert "a\\|b" in summary


def test_the_page_names_sums_commit_and_unreadable_images(workspace: Path) -> None:
    for command in (["init", "-q"], ["add", "params.yaml"]):
        subprocess.run(["git", *command], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, "commit", "-q", "-m", "a"], check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    report.main()
    page = written(workspace)
    for name in (head, "5c4f3ee8e5d25df40f4fd59a7f44e54c", "0f" * 32, "cut off after 1,024 bytes", "pug_2"):
        assert name in page
    assert head in written(workspace, "summary.md")
    assert "not committed" not in page
    with Path("params.yaml").open("a") as file:
        file.write("\n")
    report.main()
    assert "not committed" in written(workspace)


def test_without_git_the_page_says_so(workspace: Path) -> None:
    report.main()
    assert "not in a git repository" in written(workspace)


def test_every_adversarial_picture_stands_on_the_page_with_its_caption(workspace: Path) -> None:
    report.main()
    page = written(workspace)
    for backbone in BACKBONES:
        folder = workspace / "attacks/pets" / backbone / "linear"
        examples = pd.read_csv(folder / "examples.csv", dtype={"name": str})
        for row in examples[examples["attack"] == "PGD"].itertuples():
            assert f'<p class="caption">{row.caption}</p>' in page
        for name in examples["name"]:
            result = base64.b64encode((folder / f"panels/{name}_result.webp").read_bytes()).decode()
            assert result in page
    assert "<b>not Saint bernard</b>" in page  # what an attack did not reach is not called a success
    assert "Of each kind 2 were asked for; only so many are read rightly: dog to cat 0." in page
    assert "2 attempts were given up" in page
    assert page.count("smooth stand-in") == len(list((workspace / "attacks").glob("*/*/knn")))
    assert "random noise" in page
    assert "L∞ at most 8/255" in page


def test_robust_accuracy_stands_in_the_summary(workspace: Path) -> None:
    report.main()
    assert "| resnet18, linear | 90.0 | 50.0 | 0.0 |" in written(workspace, "summary.md")


@pytest.mark.parametrize(
    "missing",
    [
        "attacks/pets/resnet18/knn/robustness.csv",
        "attacks/pets/resnet18/knn/panels/001_change.webp",
        "transfers/pets/linear/matrix.csv",
    ],
)
def test_a_missing_attack_is_named_with_what_to_do(workspace: Path, missing: str) -> None:
    (workspace / missing).unlink()
    with pytest.raises(UserError, match=f"{missing} is missing. Run `dvc repro`"):
        report.main()
    assert not (workspace / "reports").exists()


def test_the_summary_has_every_headline_number(workspace: Path) -> None:
    report.main()
    summary = written(workspace, "summary.md")
    rows = {
        tuple(cells[1:3]): cells[3:-1]
        for line in summary.splitlines()
        if (cells := re.split(r" ?\| ?", line))[2:]
    }
    for backbone in BACKBONES:
        for head in HEADS:
            folder = workspace / "evaluations/pets" / backbone / head
            scores = json.loads((folder / "metrics.json").read_text())
            ends = json.loads((folder / "intervals.json").read_text())
            keys = ("top1", "top5", "mean_per_class_accuracy", "macro_f1", "nll", "ece")
            expected = [(scores["breed"][key], ends["breed"][key], key) for key in keys]
            expected.append((scores["species"]["top1"], ends["species"]["top1"], "top1"))
            shown = [cell.replace("*", "") for cell in rows[backbone, head]]
            assert shown == [
                f"{v:.3f} ({low:.3f}–{high:.3f})"
                if key == "nll"
                else f"{100 * v:.1f} ({100 * low:.1f}–{100 * high:.1f})"
                for v, (low, high), key in expected
            ]
    assert "[index.html](index.html)" in summary
    assert "drawn" not in summary.lower()


def test_the_finding_is_validations_choice_and_not_the_luckiest(workspace: Path) -> None:
    curve = workspace / "evaluations/pets/resnet18/knn/validation.csv"
    curve.write_text("setting,parameter,top1,nll,chosen\n5,neighbours,0.99,0.1,True\n")
    report.main()
    assert "The knn head on frozen resnet18 features" in written(workspace, "summary.md")


def test_drawn_pictures_are_called_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, {"sample": breeds()}, drawn=True, archives=[])
    monkeypatch.chdir(tmp_path)
    report.main()
    assert "Drawn, not photographs." in written(tmp_path)
    assert "test photographs" not in written(tmp_path)
    assert "**Drawn, not photographs:**" in written(tmp_path, "summary.md")


def test_a_data_set_without_species_and_without_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    species = {"NA": "", "1.0": ""}
    make_run(tmp_path, {"own": species}, label_name="class")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "evaluations/own/resnet18/linear"
    for file in (folder / "mistakes").iterdir():
        file.unlink()
    (folder / "confused_pairs.csv").write_text("actual,predicted,images,share\n")
    report.main()
    page = written(tmp_path)
    assert "Which class is it?" in page
    assert "NA recognised: " in page
    assert "1.0 recognised: " in page
    assert "every test image got the right class" in page
    assert "Species" not in page


def test_the_door_starts_without_torch() -> None:
    code = "import sys, stages.report; print({'torch', 'prefect'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "set()\n"


# In a browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets, one drawn, with a nasty class; the page is written once for all browser tests."""
    root = tmp_path_factory.mktemp("site")
    make_run(root, {"pets": breeds() | {NASTY: "dog"}, "sample": breeds()})
    for file in (root / "evaluations/sample").rglob("provenance.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"drawn": True}))
    (root / ".timings").mkdir()
    noted = {"stage": "embed", "backbone": "resnet18", "seconds": 61.25, "peak_mib": 1812}
    (root / ".timings/embed.json").write_text(json.dumps(noted))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        report.main()
    return root


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, site: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, opened from its file; nothing may be fetched but it and timings.js, and no error logged."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=request.param)
    tab = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda message: errors.append(message.text))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda sent: requests.append(sent.url))
    address = (site / "reports/index.html").as_uri()
    tab.goto(address)
    yield tab
    assert errors == []
    fetched = {url.partition("#")[0] for url in requests if not url.startswith("data:")}
    assert fetched == {address, (site / "reports/timings.js").as_uri()}
    context.close()


CONTRASTS = """() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (rgb) => {
    const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.slice(0, 3).map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour[3] > 200) return colour;
    }
    return rgba("canvas");
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const low = [];
  let seen = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const hidden = !node.checkVisibility() || node.closest("script, title, .sure");
    if (hidden || !walker.currentNode.data.trim()) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(rgba(node.closest("svg") ? style.fill : style.color)), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    seen += 1;
    if (ratio < 4.5) low.push([ratio.toFixed(2), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return [seen, low];
}"""


def test_all_text_stands_out_in_light_and_dark(page: Page) -> None:
    seen, low = page.evaluate(CONTRASTS)
    assert seen > 500
    assert low == []
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    page.click("#theme")
    assert page.evaluate(background) != before
    assert page.evaluate(CONTRASTS)[1] == []


def test_the_table_shows_the_numbers_of_metrics_json(page: Page, site: Path) -> None:
    for dataset in ("pets", "sample"):
        rows = page.locator(f"table.headline[data-dataset={dataset}] tbody tr")
        assert rows.count() == len(BACKBONES) * len(HEADS)
        for row in rows.all():
            backbone, head = (
                row.locator("a").inner_text(),
                row.locator("td").first.get_attribute("data-value"),
            )
            metrics = json.loads((site / f"evaluations/{dataset}/{backbone}/{head}/metrics.json").read_text())
            cells = row.locator("[data-metric]").all()
            assert len(cells) == 7
            for cell in cells:
                task, key = str(cell.get_attribute("data-metric")).split(".")
                value = metrics[task][key]
                assert float(str(cell.get_attribute("data-value"))) == value
                shown = cell.locator(".value").inner_text().split()[0]
                assert shown == (f"{value:.3f}" if key == "nll" else f"{100 * value:.1f}")


def test_a_click_on_a_heading_sorts_best_first_and_a_second_turns_round(page: Page) -> None:
    table = page.locator("table.headline[data-dataset=pets]")
    for name, best in (("Top-1", max), ("NLL", min)):
        heading = table.locator("th", has_text=name)
        column = heading.evaluate("each => each.cellIndex")
        cells = table.locator(f"tbody tr > :nth-child({column + 1})")
        heading.locator("button").click()
        values = [float(each) for each in cells.evaluate_all("all => all.map(each => each.dataset.value)")]
        assert values == sorted(values, reverse=best is max)
        assert "best" in str(cells.first.get_attribute("class"))
        assert heading.get_attribute("aria-sort") == ("descending" if best is max else "ascending")
        heading.locator("button").click()
        turned = [float(each) for each in cells.evaluate_all("all => all.map(each => each.dataset.value)")]
        assert turned == values[::-1]


def test_the_chooser_shows_one_evaluation_of_each_data_set(page: Page) -> None:
    def visible() -> list[str]:
        return page.locator("article.evaluation").evaluate_all(
            "all => all.filter(e => !e.hidden).map(e => e.id)"
        )

    assert visible() == ["pets/resnet18/linear", "sample/resnet18/linear"]
    page.locator("form[data-dataset=pets]").get_by_text("knn").click()
    assert visible() == ["pets/resnet18/knn", "sample/resnet18/linear"]
    page.locator("table.headline[data-dataset=sample] a").last.click()
    page.wait_for_function("location.hash === '#sample/efficientnet_lite0/knn'")
    assert visible() == ["pets/resnet18/knn", "sample/efficientnet_lite0/knn"]
    page.reload()
    assert visible() == ["pets/resnet18/linear", "sample/efficientnet_lite0/knn"]


def test_the_matrix_says_what_is_under_the_pointer_and_the_arrow_keys(page: Page) -> None:
    article = page.locator("article.evaluation:visible").first
    readout, matrix = article.locator(".readout"), article.locator("svg.matrix")
    cell = matrix.locator("rect.miss").first
    cell.hover()
    assert readout.inner_text() == cell.locator("title").text_content()
    matrix.focus()
    for _ in range(12):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    assert readout.inner_text().startswith("Abyssinian recognised: ")


def test_the_nasty_label_is_text(page: Page) -> None:
    assert "caught" not in page.title()
    assert page.locator("svg.matrix .row-label", has_text="<script>").count() == len(BACKBONES) * len(HEADS)


def test_pictures_have_words_and_headings_have_scopes(page: Page) -> None:
    assert page.locator("img").count() > 0
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.locator("svg:not([aria-hidden]):not([aria-label])").count() == 0
    assert page.locator("thead th:not([scope])").count() == 0
    broken = "all => all.filter(each => !each.naturalWidth).length"
    assert page.locator("article.evaluation:visible img").evaluate_all(broken) == 0


def test_the_times_are_shown_where_the_file_lies(page: Page) -> None:
    assert page.locator("#times tr").all_inner_texts()[1] == "embed\tresnet18\t61.3\t1,812"


def test_a_phone_scrolls_down_only(browser: Browser, site: Path) -> None:
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto((site / "reports/index.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tab.close()


def test_without_scripts_every_evaluation_is_there(browser: Browser, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((site / "reports/index.html").as_uri())
    assert tab.locator("article.evaluation:visible").count() == 2 * len(BACKBONES) * len(HEADS)
    assert "timings.js" in tab.locator("#times").inner_text()
    context.close()


def test_galleries_are_shown_and_escaped(workspace: Path) -> None:
    """Wherever a gallery lies; the same page without one has no such part."""
    report.main()
    before = written(workspace)
    assert "What the networks see" not in before
    picture = np.zeros((8, 8, 3), np.uint8)
    sights = {
        "ideals/imagenet/resnet18": "an ideal",
        "features/pets/resnet18": "a feature map",
        "ideals/pets/resnet18/knn": "a breed's ideal",
        "gradcams/pets/efficientnet_lite0/linear": "a region",
    }
    for folder, words in sights.items():
        tile = Tile(picture, [f"{words} {NASTY}"], [picture, picture + 1])
        figure = Figure("name", f"title {NASTY}", f"caption of {words}", [tile], columns=9)
        figures.write(workspace / folder, [figure])
    readings = [("imagenet", "resnet18", reader, NASTY, 0.25, False) for reader in BACKBONES]
    table = pd.DataFrame(readings, columns=["group", "maker", "reader", "name", "probability", "first"])
    (workspace / "ideal_readings").mkdir()
    table.to_csv(workspace / "ideal_readings/readings.csv", index=False)
    report.main()
    page = written(workspace)
    assert "What the networks see" in page
    for words in sights.values():
        assert f"caption of {words.replace(chr(39), '&#39;')}" in page
    assert page.count("data:image/webp;base64,") == before.count("data:image/webp;base64,") + len(sights)
    assert "How the other backbones read them" in page
    assert NASTY not in page
