import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from pets.audit.kinds import WRONG
from pets.classifier.unknown import SCORES
from pets.core.errors import UserError
from pets.core.files import read_json, write_json
from pets.galleries import figures
from pets.galleries.figures import Figure, Tile
from stages import report
from tests.conftest import ROOT
from tests.report.generated import (
    breeds,
    probabilities,
    provenance,
    write_attack,
    write_audit,
    write_curve,
    write_evaluation,
    write_transfer,
    write_tricks,
    write_unknown,
    write_without,
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
                write_unknown(root / "unknown" / dataset / backbone / head, list(species))
                write_without(root / "without_suspects" / dataset / backbone / f"{head}.csv")
                write_curve(root / "curves" / dataset / backbone / f"{head}.csv", 0.6 + i / 10 - j / 20)
        for backbone in BACKBONES:
            write_tricks(root / "tricks" / dataset / backbone)
            write_audit(root / "suspects" / dataset / backbone, ids, list(species))
        for head in HEADS:
            write_transfer(root / "transfers" / dataset / head, BACKBONES)


def test_what_was_found_of_the_data_is_counted_but_what_was_kept(workspace: Path) -> None:
    report.main()
    page = written(workspace)
    section = page[page.index('<section id="audit">') :].partition("</section>")[0]
    counts: dict[str, list[str]] = {kind: [] for kind in ("Duplicate", "Label", "Outlier", "Leaks")}
    for row in section.split("<tr>"):
        for kind, found in counts.items():
            if row.startswith(f'<th scope="row">{kind} '):
                found += re.findall(r'<td class="number">(\d+)</td>', row)
    assert counts == {
        "Duplicate": ["1", "1"],
        "Label": ["1", "1"],
        "Outlier": ["0", "0"],
        "Leaks": ["1", "1"],
    }
    assert "−1.0<small>−2.0 to +0.0</small>" in section
    assert f"those with a score of at least {WRONG}" in section


def test_a_perfect_score_has_wilsons_interval_too(workspace: Path) -> None:
    report.main()
    assert "Wilson’s interval" not in written(workspace).partition('<section id="carries">')[0]
    for folder in workspace.glob("evaluations/*/*/*"):
        predictions = pd.read_parquet(folder / "predictions.parquet")
        predictions = predictions.assign(predicted=predictions["label"], correct=True)
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        scores = read_json(folder / "scores.json")
        label = read_json(folder / "provenance.json")["label_name"]
        scores[label]["top1"] |= {"value": 1.0, "low": 1.0, "high": 1.0}
        write_json(folder / "scores.json", scores)
    report.main()
    images = len(predictions)
    low = 100 * binomtest(images, images).proportion_ci(method="wilson").low
    page = written(workspace)
    assert f"by Wilson’s interval, which knows their number, it is {low:.1f}–100.0%" in page
    assert f"Wilson’s interval</a> top-1 is {low:.1f}–100.0 there" in page


def test_decisions_are_counted_and_stand_beside_pictures_under_two_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = provenance("pets", "resnet18", "knn", breeds(), 1)["images"]
    pairs = [["pug_1", "boxer_9"], ["Bengal_3", NASTY]]
    make_run(tmp_path, {"pets": breeds()}, images=images | {"duplicates_across_labels": pairs})
    monkeypatch.chdir(tmp_path)
    report.main()
    assert "there is none in <code>audits/pets.csv</code>" in written(tmp_path)
    assert "Both are used." in written(tmp_path)
    Path("audits").mkdir()
    rows = ["image,verdict,label,who,why", "pug_1,drop,,Ada,", "pug_2,drop,,Ada,"]
    rows += ["Bengal_3,relabel,american_bulldog,Ada,", "boxer_2,keep,,Ada,"]
    Path("audits/pets.csv").write_text("\n".join(rows))
    report.main()
    page = written(tmp_path)
    assert "4 decisions of <code>audits/pets.csv</code>: 2 dropped, 1 relabelled, 1 kept." in page
    assert "<code>pug_1</code> (dropped) = <code>boxer_9</code></li>" in page
    assert "<code>Bengal_3</code> (relabelled American bulldog) = <code>" in page
    assert "Both are used." not in page


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


def test_the_same_evaluations_give_the_same_bytes_and_the_page_is_named(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report.main()
    assert capsys.readouterr().out == "reports/index.html: open it in a browser\n"
    first = written(workspace), written(workspace, "summary.md")
    report.main()
    assert (written(workspace), written(workspace, "summary.md")) == first


def runs(root: Path) -> dict[str, Any]:
    """The entries of run.js, by page id."""
    script = written(root, "run.js")
    entries: dict[str, Any] = json.loads(script.removeprefix("window.runs = ").removesuffix(";\n"))
    return entries


def page_id(root: Path) -> str:
    found = re.search(r'<html lang="en" data-page="([0-9a-f]{64})">', written(root))
    assert found is not None
    return found[1]


def commit_all() -> str:
    """Commit everything in the working folder, and return the commit."""
    if not Path(".git").exists():
        subprocess.run(["git", "init", "-q"], check=True)
        Path(".gitignore").write_text("/reports/\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "a"], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return head.stdout.strip()


def test_the_page_id_is_the_checksum_of_the_page_without_it(workspace: Path) -> None:
    report.main()
    page = written(workspace)
    without = page.replace(f'data-page="{page_id(workspace)}"', 'data-page=""')
    assert hashlib.sha256(without.encode()).hexdigest() == page_id(workspace)


def test_commit_date_and_times_are_beside_the_page_and_not_in_it(workspace: Path) -> None:
    report.main()
    before = written(workspace), written(workspace, "summary.md")
    (entry,) = runs(workspace).values()
    assert (entry["commit"], entry["changed"], entry["timings"]) == (None, False, [])
    timing = {"stage": "embed", "backbone": "resnet18", "seconds": 61.25, "peak_mib": 812}
    (workspace / ".timings").mkdir()
    (workspace / ".timings/embed@resnet18.json").write_text(json.dumps(timing))
    for code in ("params.yaml", "pets/a.py", "stages/a.py"):
        head = commit_all()
        report.main()
        (entry,) = runs(workspace).values()
        assert (entry["commit"], entry["changed"], entry["timings"]) == (head, False, [timing])
        age = datetime.now(UTC) - datetime.fromisoformat(entry["written"])
        assert timedelta(0) <= age < timedelta(minutes=5)
        Path(code).parent.mkdir(exist_ok=True)
        with Path(code).open("a") as file:
            file.write("\n")
        report.main()
        assert [(each["commit"], each["changed"]) for each in runs(workspace).values()] == [(head, True)]
    assert (written(workspace), written(workspace, "summary.md")) == before


def test_an_earlier_page_keeps_its_entry(workspace: Path) -> None:
    """DVC's run cache may bring it back."""
    report.main()
    first = page_id(workspace)
    summary = workspace / "attacks/pets/resnet18/linear/robustness.csv"
    original = summary.read_text()
    for number in range(1, 21):
        summary.write_text(original.replace("0.5,", f"0.{number + 50},"))
        report.main()
        assert len(runs(workspace)) == min(20, number + 1)
        assert list(runs(workspace))[-1] == page_id(workspace) != first
        assert (first in runs(workspace)) == (number < 20)


@pytest.mark.parametrize("content", ["", "window.runs = {", "window.runs = [];", "\xff"])
def test_a_broken_run_js_is_replaced(workspace: Path, content: str) -> None:
    (workspace / "reports").mkdir()
    (workspace / "reports/run.js").write_text(content, "latin-1")
    report.main()
    assert list(runs(workspace)) == [page_id(workspace)]


def test_a_missing_evaluation_is_named_with_what_to_do(workspace: Path) -> None:
    (workspace / "evaluations/pets/resnet18/knn/scores.json").unlink()
    with pytest.raises(UserError, match=r"pets/resnet18/knn .*`dvc repro`"):
        report.main()
    assert not (workspace / "reports").exists()


def test_labels_names_and_reasons_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    species = breeds() | {NASTY: "dog", "a|b": NASTY}
    images = {
        "listed": 2, "usable": 1, "train": 1, "val": 1, "test": 1,
        "duplicates_across_splits": [[NASTY, NASTY]],
        "duplicates_across_labels": [[NASTY, NASTY]],
        "content": NASTY,
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


def test_the_page_names_checksums_and_unreadable_images(workspace: Path) -> None:
    report.main()
    page = written(workspace)
    for name in ("5c4f3ee8e5d25df40f4fd59a7f44e54c", "0f" * 32, "cut off after 1,024 bytes", "pug_2"):
        assert name in page


def test_every_adversarial_picture_is_on_the_page_with_its_caption(workspace: Path) -> None:
    report.main()
    page = written(workspace)
    for backbone in BACKBONES:
        folder = workspace / "attacks/pets" / backbone / "linear"
        examples = pd.read_csv(folder / "examples.csv", dtype={"name": str})
        figures = json.loads((folder / "tiles/figures.json").read_text())
        assert examples["name"].tolist() == [each["name"] for each in figures]
        for attack, figure in zip(examples["attack"], figures, strict=True):
            first = 0 if attack == "PGD" else 1  # the original is shown once
            for tile in figure["tiles"][first:]:
                assert base64.b64encode((folder / "tiles" / tile["file"]).read_bytes()).decode() in page
            assert (f'<p class="caption">{figure["caption"]}</p>' in page) == (attack == "PGD")
    assert "<b>not fooled</b>: Saint bernard" in page  # what an attack did not reach is not called a success
    assert "Of each kind 2 were asked for, and fewer are classified correctly: dog to cat 0." in page
    assert "2 attempts were stopped" in page
    assert page.count("smooth surrogate") == len(list((workspace / "attacks").glob("*/*/knn")))
    assert "random noise" in page
    assert "L∞ at most 8/255" in page


def test_robust_accuracy_is_in_the_summary(workspace: Path) -> None:
    report.main()
    assert "| resnet18, linear | 90.0 | 50.0 | 0.0 |" in written(workspace, "summary.md")
    assert "Masked" not in written(workspace, "summary.md")
    assert ">masked<" not in written(workspace, "index.html")


def test_robust_accuracy_that_another_attack_beats_is_marked_as_masked(workspace: Path) -> None:
    file = workspace / "attacks/pets/resnet18/linear/robustness.csv"
    curve = pd.read_csv(file)
    curve.loc[(curve["attack"] == "APGD") & (curve["epsilon"] > 0), "robust"] = 0.0
    curve.to_csv(file, index=False)
    transfer = workspace / "transfers/pets/knn/results/resnet18/transfer.csv"
    table = pd.read_csv(transfer)
    table.loc[table["source"] == "random noise", "fooled"] = 1.0
    table.loc[table["source"] == "resnet18", "fooled"] = 0.0
    table.to_csv(transfer, index=False)
    report.main()
    summary, page = written(workspace, "summary.md"), written(workspace, "index.html")
    assert "| resnet18, linear | 90.0 | 50.0 (masked) | 0.0 |" in summary
    assert "Masked: other attacks beat PGD" in summary
    assert "| resnet18, knn | 90.0 (masked) | 50.0 (masked) | 0.0 (masked) |" in summary
    assert "At 0.5/255, classified correctly after PGD: 50.0%; after APGD: 0.0%." in page
    assert "after pictures made on resnet18 itself: 100.0%; after random noise: 0.0%." in page


@pytest.mark.parametrize(
    "missing",
    [
        "attacks/pets/resnet18/knn/robustness.csv",
        "attacks/pets/resnet18/knn/tiles/001-02.jpg",
        "transfers/pets/linear/results/resnet18/transfer.csv",
        "tricks/pets/resnet18/effects.csv",
        "suspects/pets/resnet18/audit.csv",
    ],
)
def test_a_missing_table_or_picture_is_named_with_what_to_do(workspace: Path, missing: str) -> None:
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
            scores = json.loads((folder / "scores.json").read_text())
            keys = ("top1", "top5", "mean_per_class", "macro_f1", "nll", "ece")
            expected = [(scores["breed"][key].values(), key) for key in keys]
            expected.append((scores["species"]["top1"].values(), "top1"))
            shown = [cell.replace("*", "") for cell in rows[backbone, head]]
            assert shown == [
                f"{value:.3f} ({low:.3f}–{high:.3f})"
                if key == "nll"
                else f"{100 * value:.1f} ({100 * low:.1f}–{100 * high:.1f})"
                for (value, low, high), key in expected
            ]
    assert "[index.html](index.html)" in summary
    assert "synthetic" not in summary.lower()
    assert "md5 `5c4f3ee8e5d25df40f4fd59a7f44e54c`" in summary


def test_the_main_result_is_of_the_combination_chosen_on_validation(workspace: Path) -> None:
    curve = workspace / "evaluations/pets/resnet18/knn/validation.csv"
    curve.write_text("setting,parameter,top1,nll,chosen\n5,neighbours,0.99,0.1,True\n")
    report.main()
    assert "The knn head on frozen resnet18 features" in written(workspace, "summary.md")


def test_pictures_of_imagenet_are_said_to_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, {"dogs": breeds()}, from_imagenet=True)
    monkeypatch.chdir(tmp_path)
    report.main()
    for file in ("index.html", "summary.md"):
        assert "The backbones have seen these pictures" in written(tmp_path, file)


def test_synthetic_pictures_are_called_synthetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archives = [{"name": "drawn by this program", "url": None, "md5": None, "bytes": 1234}]
    make_run(tmp_path, {"sample": breeds()}, synthetic=True, archives=archives)
    monkeypatch.chdir(tmp_path)
    report.main()
    assert "Synthetic, not photographs." in written(tmp_path)
    assert "drawn by a program" in written(tmp_path)
    assert "None: a program drew the images." in written(tmp_path)
    assert "test pictures" not in written(tmp_path)
    summary = written(tmp_path, "summary.md")
    assert "**Synthetic images, drawn by a program, not photographs:**" in summary
    assert "None" not in summary
    assert "md5" not in summary


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
    assert "NA classified correctly: " in page
    assert "1.0 classified correctly: " in page
    assert "the right class was predicted for every test image" in page
    assert "Species" not in page


def test_what_a_newcomer_cannot_know_is_among_the_words() -> None:
    words = (ROOT / "pets/report/words.html.j2").read_text().lower()
    attacks = ("PGD", "APGD", "FGSM", "DeepFool", "FMN", "total variation")
    training = ("SGD", "MLP", "hidden layer", "weight decay", "view")
    for word in (*attacks, *training, "targeted", "Grad-CAM", "bootstrap", "Wilson"):
        assert re.search(rf"<dt>[^<]*\b{word.lower()}\b", words), word
    for word in (*SCORES, "prior correction", "temperature", "logit", "NLL"):
        assert word.lower().replace("_", " ") in words, word


def test_the_stage_starts_without_torch() -> None:
    code = "import sys, stages.report; print({'torch', 'prefect'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "set()\n"


def test_every_colour_in_the_styles_is_defined() -> None:
    """Of the report and of the comparison, which adds its own style to the report's."""
    styles = [(ROOT / f"pets/{room}/page.css").read_text() for room in ("report", "comparison")]
    templates = [file.read_text() for file in (ROOT / "pets/report").glob("*.j2")]
    used = set(re.findall(r"var\((--[\w-]+)", "".join(styles)))
    assert used <= set(re.findall(r"(--[\w-]+):", "".join(styles + templates)))


# In a browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets, one synthetic, with a nasty class; the page is written once for all browser tests."""
    root = tmp_path_factory.mktemp("site")
    make_run(root, {"pets": breeds() | {NASTY: "dog"}, "sample": breeds()})
    for file in (root / "evaluations/sample").rglob("provenance.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"synthetic": True}))
    picture = np.zeros((8, 8, 3), np.uint8)
    triples = Figure("mistakes", "Where it looked", "", [Tile(picture, ["a"])] * 6, columns=6)
    figures.write(root / "gradcams/pets/efficientnet_lite0/linear", [triples])
    (root / ".timings").mkdir()
    noted = {"stage": "embed", "backbone": "resnet18", "seconds": 61.25, "peak_mib": 1812}
    (root / ".timings/embed.json").write_text(json.dumps(noted))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        commit_all()
        report.main()
    return root


BOTH_SCHEMES = pytest.mark.parametrize("page", ["light", "dark"], indirect=True)


@pytest.fixture
def page(browser: Browser, site: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, opened from its file; nothing may be fetched but it and run.js, and no error logged."""
    scheme: Any = getattr(request, "param", "light")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
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
    assert fetched == {address, (site / "reports/run.js").as_uri()}
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
    const hidden = !node.checkVisibility() || node.closest("script, title, .confidence");
    if (hidden || !walker.currentNode.data.trim()) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(rgba(node.closest("svg") ? style.fill : style.color)), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    seen += 1;
    if (ratio < 4.5) low.push([ratio.toFixed(2), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return [seen, low];
}"""


@BOTH_SCHEMES
def test_all_text_has_contrast_in_light_and_dark(page: Page) -> None:
    page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
    seen, low = page.evaluate(CONTRASTS)
    assert seen > 500
    assert low == []
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    page.click("#theme")
    assert page.evaluate(background) != before
    assert page.evaluate(CONTRASTS)[1] == []


def test_the_table_shows_the_numbers_of_scores_json(page: Page, site: Path) -> None:
    for dataset in ("pets", "sample"):
        rows = page.locator(f"table.headline[data-dataset={dataset}] tbody tr")
        assert rows.count() == len(BACKBONES) * len(HEADS)
        for row in rows.all():
            backbone, head = (
                row.locator("a").inner_text(),
                row.locator("td").first.get_attribute("data-value"),
            )
            scores = json.loads((site / f"evaluations/{dataset}/{backbone}/{head}/scores.json").read_text())
            validation = pd.read_csv(site / f"evaluations/{dataset}/{backbone}/{head}/validation.csv")
            chosen = validation.loc[validation["chosen"], "top1"].item()
            shown = row.locator("td.number .value").first.inner_text().split()[0]
            assert shown == f"{100 * chosen:.1f}"
            cells = row.locator("[data-metric]").all()
            assert len(cells) == 7
            for cell in cells:
                task, key = str(cell.get_attribute("data-metric")).split(".")
                value = scores[task][key]["value"]
                assert float(str(cell.get_attribute("data-value"))) == value
                shown = cell.locator(".value").inner_text().split()[0]
                assert shown == (f"{value:.3f}" if key == "nll" else f"{100 * value:.1f}")


def test_each_combination_has_a_paired_verdict_beside_the_chosen_one(page: Page, site: Path) -> None:
    chosen = pd.read_parquet(site / "evaluations/pets/efficientnet_lite0/linear/predictions.parquet")
    rows = page.locator(".verdicts").first.locator("tbody tr").all()
    others = [(b, h) for b in BACKBONES for h in HEADS if (b, h) != ("efficientnet_lite0", "linear")]
    p_values = []
    for row, (backbone, head) in zip(rows, others, strict=True):
        other = pd.read_parquet(site / f"evaluations/pets/{backbone}/{head}/predictions.parquet")
        table = pd.crosstab(chosen["correct"], other["correct"])
        assert row.locator("th").inner_text().split() == [backbone, head]
        _, points, gained, lost, _ = row.locator("td").all_inner_texts()
        assert (int(gained), int(lost)) == (table.loc[False, True], table.loc[True, False])
        assert float(points.replace("−", "-")) == pytest.approx(
            100 * (other["correct"].mean() - chosen["correct"].mean()), abs=0.05
        )
        p_values.append(mcnemar(table, exact=True).pvalue)
    for row, p in zip(rows, multipletests(p_values, method="holm")[1], strict=True):
        verdict, *_, shown = row.locator("td").all_inner_texts()
        assert shown == (f"{p:.3f}" if p >= 0.0005 else "<0.001")
        assert (verdict == "no more than chance") == (p >= 0.05)
    assert {row.locator("td").first.inner_text() for row in rows} >= {"worse"}


def test_the_data_sets_are_compared_with_chance_and_each_has_its_learning_curves(
    page: Page, site: Path
) -> None:
    rows = page.locator(".carries tbody tr:not(.axis)").all()
    for row, dataset, chance in zip(rows, ("pets", "sample"), (1 / 11, 1 / 10), strict=True):
        predictions = pd.read_parquet(
            site / f"evaluations/{dataset}/efficientnet_lite0/linear/predictions.parquet"
        )
        cells = row.locator("td").all_inner_texts()
        wrong = predictions[~predictions["correct"]]
        assert cells[0] == str(round(1 / chance))
        assert cells[2] == str(len(predictions))
        assert cells[4] == f"{100 * predictions['correct'].mean():.1f}"
        assert cells[5] == f"{100 * wrong['probability'].mean():.1f}%"
        pairs = wrong.groupby(["label", "predicted"]).size()
        assert cells[6].endswith(f": {pairs.max()} of {len(wrong)}")
        at = float(str(row.locator(".chance").get_attribute("x1")).removesuffix("%"))
        assert at == pytest.approx(100 * chance, abs=0.01)
    assert page.locator("figure.learning").count() == 2 * len(BACKBONES)
    titles = page.locator("figure.learning").first.locator(".dot title").all_text_contents()
    assert "linear, training images of each class: 7.5, top-1: 60.0%" in titles
    assert "knn, training images of each class: 1, top-1: 32.2% (31.2 to 33.2%)" in titles


def test_the_page_says_how_well_unknown_pictures_are_recognized(page: Page) -> None:
    rows = page.locator("#unknown .told").first.locator("tbody tr:not(.axis)").all()
    assert len(rows) == 2 * len(BACKBONES) * len(HEADS)
    for row, cells in zip(
        rows, 4 * [("0.970\n0.940–0.990", "93.0%"), ("0.810\n0.780–0.830", "35.0%")], strict=True
    ):
        assert tuple(row.locator("td.number").all_inner_texts()) == cells
    assert page.locator("#unknown .scores").first.locator(".chance").count() == 1  # the threshold
    left_out = page.locator("#unknown .left-out").first.locator("tbody")
    worst, best = (each.locator("td").first.inner_text() for each in left_out.all())
    assert (worst, best) == ("0.600", "0.900")


def test_what_a_trick_did_is_what_its_interval_says(page: Page) -> None:
    shown = page.locator("#tricks details.network").first
    table = shown.locator("figure.tricks").nth(1)  # the MLP's
    said = {
        row.locator("th").text_content(): row.locator("td.said").inner_text().split("\n")
        for row in table.locator("tbody tr:not(.axis)").all()
        if row.locator("td").count()
    }
    assert said == {
        "Weights from zero": ["failed"],
        "Standardized inputs": ["no clear difference", "no clear difference"],
        "Adam": ["helps", "helps"],
    }
    assert shown.locator("figure.tricks").first.locator(".verdict.harms").count() == 2
    sentences = shown.locator("dl div", has_text="Adam").last.locator("dd").text_content()
    assert sentences is not None
    assert "harms the linear layer (−2.00 points, −3.00 to −1.00)" in sentences
    assert "helps the MLP (+1.20 points, +0.40 to +2.00; 1 of 3 runs left out" in sentences
    assert "added to all the others: helps the MLP (+0.60 points" in sentences
    zeros = shown.locator("dl div", has_text="Weights from zero").locator("dd").text_content()
    assert zeros is not None
    assert "with the MLP the loss did not stay finite in 3 of 3 runs" in zeros
    assert shown.locator("figure.losses").count() == 3 + 4  # families, and all together
    assert page.locator("#tricks details.network[open]").count() == 1


def test_a_click_on_a_heading_sorts_best_first_and_a_second_reverses(page: Page) -> None:
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
        reverse = [float(each) for each in cells.evaluate_all("all => all.map(each => each.dataset.value)")]
        assert reverse == values[::-1]


COMBINATIONS = [f"{dataset}/{b}/{h}" for dataset in ("pets", "sample") for b in BACKBONES for h in HEADS]
OPEN = "all => all.filter(each => each.open).map(each => each.id)"
IN_SIGHT = """each => {
  const box = each.getBoundingClientRect();
  return box.top >= 0 && box.bottom <= innerHeight && each.checkVisibility();
}"""


def opened(page: Page) -> list[str]:
    """The combinations that are unfolded."""
    ids: list[str] = page.locator("details.evaluation").evaluate_all(OPEN)
    return ids


def test_the_combination_chosen_on_validation_is_open_and_each_says_what_it_is(page: Page) -> None:
    assert opened(page) == ["pets/efficientnet_lite0/linear", "sample/efficientnet_lite0/linear"]
    for key in COMBINATIONS:
        dataset, backbone, head = key.split("/")
        summary = page.locator(f"details[id='{key}'] > summary")
        row = page.locator(
            f"table.headline[data-dataset={dataset}] tr", has=page.locator(f"a[href='#{key}']")
        )
        top1 = row.locator("[data-metric$='breed.top1'] .value").inner_text().split()[0]
        assert re.sub(r"\s+", " ", summary.inner_text()).startswith(f"{backbone} with {head} Top-1 {top1}%")
        assert ("chosen on validation" in summary.inner_text()) == (key in opened(page))


@BOTH_SCHEMES
def test_the_contents_lead_everywhere_stay_in_sight_and_mark_what_is_read(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")  # or each click scrolls for half a second
    links = page.locator("#contents a")
    hashes = links.evaluate_all("all => all.map(each => each.hash.slice(1))")
    sections = page.locator("main > section").evaluate_all("all => all.map(each => each.id)")
    assert sections[0] == "summary"
    assert set(hashes) == {*sections, *COMBINATIONS}
    current = page.locator("#contents [aria-current=true]")
    assert current.get_attribute("href") == "#summary"
    for link in links.all():
        link.click()
        place = str(link.get_attribute("href"))
        page.wait_for_function(
            "at => document.querySelector('#contents [aria-current]').hash === at", arg=place
        )
        assert current.count() == 1
        assert page.locator("#contents").evaluate(IN_SIGHT)
        assert page.locator(f"[id='{place[1:]}'] :is(h1, h2, h4)").first.evaluate(IN_SIGHT)
    assert set(opened(page)) == set(COMBINATIONS)


def test_a_link_unfolds_what_it_leads_to_each_time(page: Page) -> None:
    key = "pets/resnet18/knn"
    folded = page.locator(f"details[id='{key}']")
    for _ in range(2):
        page.locator(f"table.headline a[href='#{key}']").click()
        page.wait_for_function("id => document.getElementById(id).open", arg=key)
        folded.locator("summary").first.click()
        assert key not in opened(page)
    page.evaluate("location.hash = 'sample/resnet18/linear'")
    page.wait_for_function("() => document.getElementById('sample/resnet18/linear').open")
    page.reload()
    assert set(opened(page)) >= {"pets/efficientnet_lite0/linear", "sample/resnet18/linear"}
    folded.locator("figure.attack").first.evaluate(
        "each => { each.id = 'inside'; location.hash = 'inside'; }"
    )
    page.wait_for_function("id => document.getElementById(id).open", arg=key)
    page.wait_for_function(
        "() => Math.abs(document.getElementById('inside').getBoundingClientRect().top) < 100"
    )


@BOTH_SCHEMES
def test_a_picture_enlarges_by_click_and_by_keyboard_alone(page: Page) -> None:
    dialog = page.locator("dialog")
    picture = page.locator("details.evaluation[open] .sheet img").first
    alt, small = picture.get_attribute("alt"), picture.bounding_box()
    page.locator("details.evaluation[open] .sheet .confidence").first.click(force=True)  # lies on the picture
    assert dialog.get_by_alt_text(str(alt), exact=True).is_visible()
    large = dialog.locator("img").bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > 2 * small["width"]
    assert dialog.evaluate(IN_SIGHT)
    dialog.locator("img").click()
    assert not dialog.is_visible()
    second = page.locator("details.evaluation[open] .sheet img").nth(1)
    for key in ("Enter", "Space"):
        picture.focus()
        page.keyboard.press("Tab")
        assert second.evaluate("each => each === document.activeElement && each.matches(':focus-visible')")
        assert second.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"
        page.keyboard.press(key)
        assert dialog.locator("img").get_attribute("alt") == second.get_attribute("alt")
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert second.evaluate("each => each === document.activeElement")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # its button has the focus
    assert not dialog.is_visible()


@BOTH_SCHEMES
def test_everything_is_printed(page: Page) -> None:
    page.emulate_media(media="print")
    hidden = "all => all.filter(each => !each.checkVisibility()).map(each => each.outerHTML.slice(0, 80))"
    assert page.locator("main :is(figure, img, svg, table, li)").evaluate_all(hidden) == []
    assert not page.locator("#contents").is_visible()


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    yield context.new_page()
    context.close()


def test_a_phone_has_the_contents_in_a_menu(phone: Page, site: Path) -> None:
    phone.set_viewport_size({"width": 390, "height": 400})  # the menu is longer
    phone.goto((site / "reports/index.html").as_uri())
    contents, button = phone.locator("#contents"), phone.get_by_role("button", name="Contents")
    phone.evaluate("document.getElementById('sources').scrollIntoView({ behavior: 'instant' })")
    assert button.evaluate(IN_SIGHT)
    assert not contents.is_visible()
    button.tap()
    phone.wait_for_function(f"() => ({IN_SIGHT})(document.querySelector('#contents [href=\"#sources\"]'))")
    contents.locator("a[href='#sample/resnet18/knn']").tap()
    phone.wait_for_function("() => document.querySelector('.here').textContent === 'resnet18 with knn'")
    assert not contents.is_visible()
    assert "sample/resnet18/knn" in opened(phone)
    heading = """document.getElementById("sample/resnet18/knn").querySelector("h4")"""
    phone.wait_for_function(f"() => ({IN_SIGHT})({heading})")
    button.focus()
    phone.keyboard.press("Enter")
    assert contents.is_visible()
    phone.keyboard.press("Escape")
    assert not contents.is_visible()


@pytest.mark.parametrize("heads", [("linear",), HEADS])
@pytest.mark.parametrize("name", [f"a/{NASTY}%41 #?&\"'", "long" * 30])
def test_any_name_and_number_of_combinations(
    phone: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, heads: tuple[str, ...]
) -> None:
    make_run(tmp_path, {name: breeds()})
    run = {"datasets": [name], "backbones": ["resnet18"], "heads": heads}
    (tmp_path / "params.yaml").write_text(json.dumps({"datasets": {name: {}}, "run": run}))
    monkeypatch.chdir(tmp_path)
    report.main()
    phone.goto((tmp_path / "reports/index.html").as_uri())
    assert phone.title() == f"Which breed? Transfer learning on {name}"
    assert opened(phone) == [f"{name}/resnet18/linear"]
    assert phone.locator(".tag:visible").count() == (2 if len(heads) > 1 else 0)
    phone.locator("#contents").evaluate("each => each.showPopover()")
    assert phone.locator("#contents p").all_inner_texts() == [name, "resnet18"]
    phone.locator("#contents a.part").last.tap()
    key = f"{name}/resnet18/{heads[-1]}"
    phone.wait_for_function("id => document.getElementById(id).open", arg=key)
    phone.wait_for_function(
        "at => document.querySelector('.here').textContent === at", arg=f"resnet18 with {heads[-1]}"
    )
    phone.reload()
    assert key in opened(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    assert "there is no other" in phone.locator("#transfer").inner_text()
    assert phone.locator("#transfer table").count() == 0


def test_the_matrix_describes_the_cell_under_the_pointer_and_the_arrow_keys(page: Page) -> None:
    combination = page.locator("details.evaluation[open]").first
    readout, matrix = combination.locator(".readout"), combination.locator("svg.matrix")
    cell = matrix.locator("rect.miss").first
    cell.hover()
    assert readout.inner_text() == cell.locator("title").text_content()
    matrix.focus()
    for _ in range(12):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    assert readout.inner_text().startswith("Abyssinian classified correctly: ")


def test_the_nasty_label_is_text(page: Page) -> None:
    assert "caught" not in page.title()
    assert page.locator("svg.matrix .row-label", has_text="<script>").count() == len(BACKBONES) * len(HEADS)


def test_pictures_have_alternative_texts_and_headings_have_scopes(page: Page) -> None:
    assert page.locator("img").count() > 0
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.locator("svg:not([aria-hidden]):not([aria-label])").count() == 0
    assert page.locator("thead th:not([scope])").count() == 0
    undecodable = """async (all) => {
      const failed = [];
      for (const each of all) {
        each.loading = "eager";
        await each.decode().catch(() => failed.push(each.alt));
      }
      return failed;
    }"""
    assert page.locator("details.evaluation[open] img").evaluate_all(undecodable) == []


def test_commit_and_times_are_shown_where_run_js_has_the_page(page: Page, site: Path) -> None:
    assert page.locator("#times tr").all_inner_texts()[1] == "embed\tresnet18\t61.3\t1,812"
    (entry,) = runs(site).values()
    date = entry["written"].replace("T", " ").replace("Z", " UTC")
    assert page.locator("#run").inner_text() == f"Written at commit {entry['commit']}, on {date}."


@pytest.mark.parametrize("change", ["no file", "another page's entry"])
def test_nothing_of_another_run_is_shown(browser: Browser, site: Path, tmp_path: Path, change: str) -> None:
    shutil.copytree(site / "reports", tmp_path / "reports")
    script = tmp_path / "reports/run.js"
    if change == "no file":
        script.unlink()
    else:
        script.write_text(script.read_text().replace(page_id(site), "0" * 64))
    tab = browser.new_page()
    tab.goto((tmp_path / "reports/index.html").as_uri())
    assert not tab.locator("#run").is_visible()
    assert "Written" not in tab.locator("body").inner_text()
    assert tab.locator("#times tr").count() == 0
    tab.close()


def test_changes_and_a_missing_repository_are_shown(browser: Browser, site: Path, tmp_path: Path) -> None:
    shutil.copytree(site / "reports", tmp_path / "reports")
    tab = browser.new_page()
    for commit, changed, expected in (
        (
            "abc",
            True,
            "Written at commit abc, with changes to code or parameters that were not committed, on ",
        ),
        (None, False, "Written outside a git repository, on "),
    ):
        entry = runs(site)[page_id(site)] | {"commit": commit, "changed": changed}
        (tmp_path / "reports/run.js").write_text(f"window.runs = {json.dumps({page_id(site): entry})};\n")
        tab.goto((tmp_path / "reports/index.html").as_uri())
        assert tab.locator("#run").inner_text().startswith(expected)
    tab.close()


def test_a_phone_scrolls_down_only(browser: Browser, site: Path) -> None:
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto((site / "reports/index.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tab.close()


def test_a_phone_keeps_together_what_belongs_together(phone: Page, site: Path) -> None:
    phone.goto((site / "reports/index.html").as_uri())
    phone.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
    tops = "all => all.map(each => each.getBoundingClientRect().top)"
    first, *others = phone.locator(".triples li").evaluate_all(tops)
    assert [top == first for top in others] == [True, True, False, False, False]
    away = "all => all.filter(each => each.parentElement.className !== 'entry').length"
    assert phone.locator(".legend :empty").count() > 20
    assert phone.locator(".legend :empty").evaluate_all(away) == 0
    figure_out_of_sight = """all => all.filter((box) => {
      const cell = box.querySelector("tbody :is(.number, .track)");
      return cell && cell.getBoundingClientRect().right > box.getBoundingClientRect().right;
    }).map(each => each.textContent.trim().slice(0, 60))"""
    assert phone.locator(".scroll:has(tbody)").count() > 10
    assert phone.locator(".scroll:has(tbody)").evaluate_all(figure_out_of_sight) == []
    assert not phone.locator("#times .scroll p").count()


@BOTH_SCHEMES
def test_nothing_shows_through_the_contents(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.set_viewport_size({"width": 1000, "height": 700})
    bar = page.locator(".guide").bounding_box()
    assert bar is not None
    page.add_style_tag(content=".here { visibility: hidden }")  # its text is another in each part
    seen = set()
    for figure in page.locator("figure:visible").all()[:8]:
        figure.evaluate("each => scrollTo(0, scrollY + each.getBoundingClientRect().top + 20)")
        page.wait_for_timeout(100)
        seen.add(page.screenshot(clip={"x": 0, "y": 0, "width": bar["width"], "height": bar["height"]}))
    assert len(seen) == 1


def test_a_box_that_scrolls_sideways_fades_out_while_there_is_more(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    boxes = page.locator(".scroll")
    assert boxes.count() > 10
    faded = "all => all.filter(each => getComputedStyle(each).maskImage !== 'none').length"
    wide = """all => all.filter(
      each => each.scrollWidth - each.clientWidth > 1 && each.checkVisibility()
    ).length"""
    found = []
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(200)
        found.append(boxes.evaluate_all(wide))
        assert boxes.evaluate_all(faded) == found[-1]
    assert found[0] > found[1]
    page.set_viewport_size({"width": 390, "height": 844})
    table = page.locator(".scroll:has(.headline)").first
    fades = """wanted => wanted === (
      getComputedStyle(document.querySelector(".scroll:has(.headline)")).maskImage !== "none"
    )"""
    page.wait_for_function(fades, arg=True)
    table.evaluate("each => each.scrollTo({ left: each.scrollWidth, behavior: 'instant' })")
    page.wait_for_function(fades, arg=False)


def test_without_scripts_every_evaluation_is_there(browser: Browser, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((site / "reports/index.html").as_uri())
    assert tab.locator("details.evaluation:visible").count() == len(COMBINATIONS)
    tab.locator("[id='pets/resnet18/knn'] > summary").click()
    assert tab.locator("[id='pets/resnet18/knn'] figure.classes").is_visible()
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.get_by_role("button", name="Contents").click()
    assert tab.locator("#contents a").first.is_visible()
    assert "run.js" in tab.locator("#times").inner_text()
    assert not tab.locator("#run").is_visible()
    context.close()


def test_galleries_are_shown_and_escaped(workspace: Path) -> None:
    """Wherever a gallery is; the page without galleries has no such section."""
    report.main()
    before = written(workspace)
    assert "What the networks see" not in before
    picture = np.zeros((8, 8, 3), np.uint8)
    galleries = {
        "ideals/imagenet/resnet18": "an ideal",
        "features/pets/resnet18": "a feature map",
        "ideals/pets/resnet18/knn": "a breed's ideal",
        "gradcams/pets/efficientnet_lite0/linear": "a region",
    }
    for folder, words in galleries.items():
        tile = Tile(picture, [f"{words} {NASTY}"], [picture, picture + 1])
        figure = Figure("name", f"title {NASTY}", f"caption of {words}", [tile], columns=9)
        figures.write(workspace / folder, [figure])
    readings = [("imagenet", "resnet18", reader, NASTY, 0.25, False) for reader in BACKBONES]
    table = pd.DataFrame(readings, columns=["group", "maker", "reader", "name", "probability", "first"])
    (workspace / "ideal_readings").mkdir()
    for reader, rows in table.groupby("reader"):
        rows.to_csv(workspace / f"ideal_readings/{reader}.csv", index=False)
    report.main()
    page = written(workspace)
    assert "What the networks see" in page
    for words in galleries.values():
        assert f"caption of {words.replace(chr(39), '&#39;')}" in page
    assert page.count("data:image/webp;base64,") == before.count("data:image/webp;base64,") + len(galleries)
    assert "How the other backbones classify them" in page
    assert NASTY not in page
