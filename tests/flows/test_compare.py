"""What a user relies on when comparing revisions: verdicts, where they come from, and error messages."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from prefect.artifacts import Artifact
from prefect.testing.utilities import prefect_test_harness
from rich.console import Console

from flows.compare import compare, main
from pets.comparison import markdown, page, record, revisions, terminal
from pets.comparison.build import build
from pets.comparison.pairing import Pairing, chosen, pair
from pets.comparison.result import Comparison
from pets.comparison.revisions import Combination
from pets.comparison.verdicts import BETTER, CHANCE, WORSE
from pets.core.errors import UserError
from tests.conftest import ROOT, Workspace
from tests.flows.history import NASTY, History
from tests.report.generated import breeds
from tests.report.test_page import CONTRASTS

LINEAR, KNN = "efficientnet_lite0/linear", "efficientnet_lite0/knn"
GOOD = {LINEAR: 2.6, KNN: 2.0}


@pytest.fixture(scope="module")
def history(new_workspace: Callable[[], Workspace]) -> History:
    """Tags: bare (no pipeline), nested (good, as earlier versions wrote it), good, again (the same results),
    bad (a worse linear head), swapped (another backbone), fewer (without a class), elsewhere (other images),
    unrun (params.yaml changed after the run), synthetic, unevaluated; the workspace is at good.
    """
    made = History(new_workspace())
    for name in ("dvc.yaml", "params.yaml"):
        (made.path / name).unlink()
    shutil.rmtree(made.path / "stages")
    made.commit("bare")
    made.evaluate(GOOD, nested=True)
    made.commit("nested")
    made.evaluate(GOOD)
    made.commit("good")
    made.commit("again")
    made.evaluate(GOOD | {LINEAR: 1.3})
    made.commit("bad")
    made.evaluate({name.replace("lite0", "lite2"): strength for name, strength in GOOD.items()})
    made.commit("swapped")
    made.evaluate({LINEAR: 2.6}, species=breeds())
    made.commit("fewer")
    made.evaluate({LINEAR: 2.6}, prefix="other_")
    made.commit("elsewhere")
    made.evaluate(GOOD, dataset="sample")
    made.commit("synthetic")
    made.evaluate(GOOD)
    params = made.path / "params.yaml"
    text = params.read_text().replace('"bootstrap": 200', '"bootstrap": 250')
    params.write_text(text.replace('"knn"]', '"knn", "prototype"]'))
    made.commit("unrun")
    shutil.rmtree(made.path / "evaluations")
    made.commit("unevaluated")
    made.workspace.run("git", "checkout", "-q", "good")
    made.workspace.run("dvc", "checkout", "-q")
    return made


@pytest.fixture
def here(history: History, monkeypatch: pytest.MonkeyPatch) -> History:
    """The history, to be read only; it is the working folder."""
    monkeypatch.chdir(history.path)
    return history


def compared(old: str, new: str, old_model: str | None = None, new_model: str | None = None) -> Comparison:
    return build(old, new, old_model, new_model)


def shown(comparison: Comparison) -> str:
    """What the terminal shows."""
    console = Console(file=StringIO(), width=80, highlight=False, markup=False)
    with console.capture() as capture:
        terminal.show(comparison, console)
    return capture.get()


def command(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, in a terminal of 80 columns without colour."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1"}
    environment.pop("PREFECT_API_URL", None)
    return subprocess.run(
        [sys.executable, "-m", "flows.compare", *words],
        cwd=path,
        env=environment,
        capture_output=True,
        text=True,
    )


class TestVerdict:
    def test_the_same_code_twice_is_no_more_than_chance(self, here: History) -> None:
        comparison = compared("good", "again")
        assert comparison.verdict == CHANCE
        assert not comparison.worse
        assert [test.p for test in comparison.tests] == [1.0] * 6
        assert all(each.same for each in comparison.pairs)
        assert comparison.params == []

    def test_a_real_drop_is_worse_and_the_other_way_round_better(self, here: History) -> None:
        comparison = compared("good", "bad")
        verdicts = {
            str(each.pairing.new.head): {test.verdict for test in each.tests} for each in comparison.pairs
        }
        assert verdicts == {"linear": {WORSE}, "knn": {CHANCE}}
        assert comparison.worse
        assert comparison.verdict == "worse in top-1, mean per-class and NLL"
        back = compared("bad", "good")
        assert back.verdict == "better in top-1, mean per-class and NLL"
        for test, reverse in zip(comparison.tests, back.tests, strict=True):
            assert reverse.difference == -test.difference
            assert reverse.p == pytest.approx(test.p)

    def test_the_numbers_are_those_of_the_metrics_and_the_predictions(self, here: History) -> None:
        (linear, _) = compared("good", "bad").pairs
        assert linear.paired is not None
        top1, per_class, nll = linear.tests
        for test, key in ((top1, "top1"), (per_class, "mean_per_class"), (nll, "nll")):
            assert test.old == pytest.approx(linear.old_metrics[key])
            assert test.new == pytest.approx(linear.new_metrics[key])
            low, high = test.interval
            assert low < test.difference < high
        gained, lost = len(linear.paired.gained), len(linear.paired.lost)
        assert top1.difference * 11 * 12 == pytest.approx(gained - lost)
        classes = linear.paired.classes
        assert (classes["gained"].sum(), classes["lost"].sum()) == (gained, lost)
        assert classes["images"].tolist() == [12] * 11

    def test_every_metric_is_shown_and_not_only_those_in_git(self, here: History) -> None:
        (linear, _) = compared("good", "bad").pairs
        scores = json.loads(
            (here.path / "evaluations/pets/efficientnet_lite0/linear/scores.json").read_text()
        )
        old = {row.metric.name: row.old for row in linear.rows}
        assert old == {
            "Top-1": scores["breed"]["top1"]["value"],
            "Top-5": scores["breed"]["top5"]["value"],
            "Mean per-class": scores["breed"]["mean_per_class"]["value"],
            "Macro F1": scores["breed"]["macro_f1"]["value"],
            "NLL": scores["breed"]["nll"]["value"],
            "ECE": scores["breed"]["ece"]["value"],
            **{
                f"Species {name}": scores["species"][key]["value"]
                for name, key in (
                    ("Top-1", "top1"), ("Mean per-class", "mean_per_class"), ("Macro F1", "macro_f1"),
                    ("NLL", "nll"), ("ECE", "ece"),
                )
            },
        }  # fmt: skip
        assert [row.interval is None for row in linear.rows] == [False] * 6 + [True] * 5
        assert linear.label_name == "breed"

    def test_a_commit_before_scores_json_is_the_same(self, here: History) -> None:
        comparison = compared("nested", "good")
        assert comparison.verdict == CHANCE
        assert [each.old_metrics for each in comparison.pairs] == [
            each.new_metrics for each in comparison.pairs
        ]
        assert all(each.same for each in comparison.pairs)
        assert compared("nested", "bad").verdict == compared("good", "bad").verdict

    def test_all_tests_are_corrected_together(self, here: History) -> None:
        both, alone = compared("good", "bad"), compared("good", "bad", LINEAR)
        assert len(both.tests) == 6
        assert len(alone.tests) == 3
        least = min(range(3), key=lambda i: both.tests[i].p)
        assert both.tests[least].corrected == pytest.approx(6 * both.tests[least].p)
        assert alone.tests[least].corrected == pytest.approx(3 * alone.tests[least].p)

    def test_another_backbone_is_paired_by_data_set_and_head(self, here: History) -> None:
        comparison = compared("good", "swapped")
        titles = [each.title for each in comparison.pairs]
        change = "pets · efficientnet_lite0 → efficientnet_lite2 ·"
        assert titles == [f"{change} linear", f"{change} knn"]
        assert all("same data set and head" in " ".join(each.remarks) for each in comparison.pairs)
        assert [each.key for each in comparison.params] == ["run.backbones"]

    def test_any_two_combinations_of_one_revision(self, here: History) -> None:
        comparison = compared("good", "good", "knn", "linear")
        assert comparison.verdict.startswith(BETTER)
        assert comparison.pairs[0].title == "pets · efficientnet_lite0 · knn → linear"

    def test_a_revision_against_the_workspace(self, here: History) -> None:
        comparison = compared("bad", "workspace")
        assert comparison.new == "the workspace"
        assert comparison.verdict.startswith(BETTER)

    def test_parameters_that_changed_after_the_run_are_reported(self, here: History) -> None:
        comparison = compared("good", "unrun")
        assert [each.key for each in comparison.params] == ["evaluate.bootstrap", "run.heads"]
        assert comparison.params[1].new == "[linear, knn, prototype]"
        (note,) = comparison.notes
        assert (
            ", evaluate changed after the pipeline ran" in note
        )  # and not the seed, which is new to prototype
        assert [each.pairing.new.head for each in comparison.pairs] == ["linear", "knn"]

    def test_synthetic_pets_are_called_synthetic_everywhere(self, here: History) -> None:
        comparison = compared("synthetic", "synthetic", "knn", "linear")
        for render in (markdown.render, page.render, shown):
            assert "Synthetic images, drawn by a program" in render(comparison)
        assert "Synthetic, not photographs." in page.render(comparison)
        real = compared("good", "bad")
        for render in (markdown.render, page.render, shown):
            assert "Synthetic" not in render(real)


class TestOutput:
    def test_the_terminal_output_has_80_columns_and_everything(self, history: History) -> None:
        done = command(history.path, "good", "bad")
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert done.stdout.startswith("WORSE IN TOP-1")
        text = " ".join(done.stdout.split())
        for each in (
            "good (",
            "bad (",
            "): worse.",
            "): no more than chance.",
            "Breeds that changed",
            "McNemar",
        ):
            assert each in text

    def test_fail_if_worse_is_for_ci(self, here: History) -> None:
        assert main(["good", "bad", "--fail-if-worse"]) == 1
        assert main(["good", "bad"]) == 0
        assert main(["bad", "good", "--fail-if-worse"]) == 0
        assert main(["good", "again", "--fail-if-worse"]) == 0

    def test_files_have_what_the_comparison_has(self, here: History, tmp_path: Path) -> None:
        files = {name: tmp_path / f"deep/er/{name}" for name in ("page", "markdown", "json")}
        words = [word for name, file in files.items() for word in (f"--{name}", str(file))]
        assert main(["good", "bad", *words]) == 0
        content = json.loads(files["json"].read_text())
        assert content["verdict"].startswith("worse in top-1")
        assert len(content["pairs"][0]["tests"]) == 3
        assert "▼ worse" in files["markdown"].read_text()
        assert files["page"].read_text().startswith("<!doctype html>")
        assert {each.name for each in (tmp_path / "deep/er").iterdir()} == set(files)

    def test_nothing_of_others_becomes_markup(self, here: History) -> None:
        comparison = build("good", "bad", pictures=True)
        written, text, printed = page.render(comparison), markdown.render(comparison), shown(comparison)
        assert NASTY not in written
        assert NASTY not in text
        assert html.escape(NASTY, quote=False).replace('"', "&#34;") in written
        assert "script" in text
        assert "caught" not in printed
        assert terminal.plain("a\x1b[31mb") == "a?[31mb"
        assert markdown.plain("[x](y) a|b `c` *d* <e>") == r"\[x\](y) a\|b \`c\` \*d\* &lt;e&gt;"

    def test_every_table_row_of_the_markdown_has_as_many_cells_as_its_heading(self, here: History) -> None:
        lines = markdown.render(compared("good", "bad")).splitlines()
        widths = [len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")]
        assert set(widths) == {10, 6}  # the tests, and the metrics of each pair

    def test_the_same_comparison_gives_the_same_bytes(self, here: History) -> None:
        first, second = (build("good", "bad", pictures=True) for _ in range(2))
        for form in (page, markdown, record):
            assert form.render(first) == form.render(second)

    def test_help_is_quick_to_load(self) -> None:
        code = "import sys, flows.compare; print({'torch', 'dvc', 'pandas', 'scipy'} & set(sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "set()"

    def test_prefects_usage_reporting_is_off_unless_asked(self) -> None:
        names = ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED")
        code = f"import os, flows; print(*map(os.environ.get, {names}))"
        unset = {name: value for name, value in os.environ.items() if name not in names}
        for asked, expected in ({}, "1 false"), ({"DO_NOT_TRACK": "0"}, "0 false"):
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, env=unset | asked, capture_output=True, text=True
            )
            assert done.stdout.strip() == expected


class TestWhereResultsAre:
    @pytest.fixture
    def clone(self, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
        """A fresh clone, whose DVC cache is empty."""
        history.workspace.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
        monkeypatch.chdir(tmp_path / "clone")
        return Workspace(tmp_path / "clone")

    def test_never_pushed_leaves_the_metrics(self, clone: Workspace) -> None:
        comparison = compared("good", "bad")
        assert comparison.verdict == "not tested"
        for each in comparison.pairs:
            assert "not in DVC's cache, and no remote is configured" in each.missing
            (top1, *_) = each.rows
            assert top1.old == each.old_metrics["top1"]
            assert [*each.old_metrics] == ["top1", "mean_per_class", "nll", "species_top1"]
            assert each.label_name == "class"
        assert "Not tested" in shown(comparison)
        assert "Not tested" in markdown.render(comparison)
        assert "Not tested" in page.render(comparison)
        assert main(["good", "bad", "--fail-if-worse"]) == 0

    def test_a_remote_has_them(self, clone: Workspace, history: History, tmp_path: Path) -> None:
        shutil.copytree(history.path / ".dvc/cache", tmp_path / "remote")
        clone.run("dvc", "remote", "add", "-q", "-d", "shelf", str(tmp_path / "remote"))
        comparison = build("good", "bad", pictures=True)
        assert comparison.worse
        lost = comparison.pairs[0].paired
        assert lost is not None
        assert set(lost.lost["image_id"].head(24)) <= set(comparison.pairs[0].pictures)
        assert not (clone.path / "evaluations/pets/efficientnet_lite0/linear/predictions.parquet").exists()

    def test_an_empty_remote_is_named(self, clone: Workspace, tmp_path: Path) -> None:
        clone.run("dvc", "remote", "add", "-q", "-d", "shelf", str(tmp_path / "nothing"))
        (linear, _) = compared("good", "bad").pairs
        assert "nor in the remote 'shelf'" in linear.missing

    def test_predictions_of_another_run_are_not_taken(self, clone: Workspace, history: History) -> None:
        shutil.copytree(history.path / ".dvc/cache", clone.path / ".dvc/cache")
        clone.run("git", "checkout", "-q", "bad")
        clone.run("git", "checkout", "-q", "good", "--", "dvc.lock")
        clone.run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "only half")
        linear, knn = compared("good", "HEAD").pairs
        assert "dvc.lock and evaluations/ have to be committed together" in linear.missing
        assert knn.same

    def test_the_workspace_is_its_files_and_not_what_dvc_lock_says(
        self, clone: Workspace, history: History
    ) -> None:
        shutil.copytree(history.path / ".dvc/cache", clone.path / ".dvc/cache")
        for tag in ("bad", "good"):
            clone.run("git", "checkout", "-q", tag, "--", ".")
            clone.run("dvc", "checkout", "-q", "-f")
            if tag == "bad":
                shutil.copytree(clone.path / "evaluations", clone.path / "kept")
        shutil.rmtree(clone.path / "evaluations")
        (clone.path / "kept").rename(clone.path / "evaluations")
        assert compared("good", "workspace").worse

    def test_pictures_that_are_gone_leave_the_verdict(self, clone: Workspace, history: History) -> None:
        cache = history.path / ".dvc/cache"
        shutil.copytree(cache, clone.path / ".dvc/cache")
        for folder in (clone.path / ".dvc/cache/files/md5").iterdir():
            for file in folder.iterdir():
                if file.read_bytes().startswith(b"\x89PNG"):
                    file.unlink()
        comparison = build("good", "bad", pictures=True)
        assert comparison.worse
        assert comparison.pairs[0].pictures == {}
        assert "The picture is not in this workspace" in page.render(comparison)


class TestBadInput:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["godd", "bad"], "no revision 'godd'; did you mean 'good'?"),
            (["bare", "good"], "bare has no dvc.yaml"),
            (["unevaluated", "good"], "has no metrics"),
            (["good", "good"], "are both good"),
            (["good", "fewer"], "their classes differ: only OLD has <script>"),
            (["fewer", "elsewhere", "--old-model", "linear"], "their classes differ: only NEW has"),
            (["good", "elsewhere"], "no image in common"),
            (["good", "bad", "--old-model", "liner"], "no 'liner'"),
            (["good", "bad", "--old-model", "pets"], "could be pets/efficientnet_lite0/linear or"),
            (["good", "synthetic"], "can be paired with"),
        ],
    )
    def test_a_line_or_two_and_nothing_written(
        self,
        here: History,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        message: str,
    ) -> None:
        assert main([*words, "--page", str(tmp_path / "page.html")]) == 2
        printed = capsys.readouterr()
        assert message in printed.err
        assert printed.err.startswith("compare: ")
        assert len(printed.err.splitlines()) <= 2
        assert printed.out == ""
        assert not any(tmp_path.iterdir())

    def test_a_file_that_cannot_be_written(
        self, here: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["good", "bad", "--json", str(tmp_path)]) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith(f"compare: {tmp_path} cannot be written: ")
        assert printed.out == ""

    def test_no_dvc_no_git_no_commit(
        self,
        history: History,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        self._fails("is in no DVC project", capsys)
        shutil.copytree(history.path / ".dvc", ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
        self._fails("is in no git repository", capsys)
        subprocess.run(["git", "init", "-q"], check=True)
        self._fails("there is no commit yet", capsys)

    @staticmethod
    def _fails(message: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["HEAD~1"]) == 2
        assert message in capsys.readouterr().err

    def test_a_shallow_clone_says_how_to_get_the_rest(
        self,
        history: History,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        address = history.path.as_uri()
        subprocess.run(["git", "clone", "-q", "--depth", "1", address, str(tmp_path / "clone")], check=True)
        monkeypatch.chdir(tmp_path / "clone")
        self._fails("git fetch --unshallow", capsys)


class TestPairing:
    OLD = Combination("pets", "lite0", "linear")

    def test_same_names_first(self) -> None:
        new = [self.OLD._replace(backbone="lite2"), self.OLD]
        assert pair([self.OLD], new) == [Pairing(self.OLD, self.OLD, "")]

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"backbone": "lite2"}, "data set and head"),
            ({"head": "knn"}, "data set and backbone"),
            ({"head": "knn", "backbone": "lite2"}, "data set"),
        ],
    )
    def test_the_only_ones_left(self, changes: dict[str, str], why: str) -> None:
        (found,) = pair([self.OLD], [self.OLD._replace(**changes)])
        assert found.why.endswith(f"of the same {why}")

    def test_with_several_candidates_none_is_chosen(self) -> None:
        new = [self.OLD._replace(backbone=name) for name in ("lite1", "lite2")]
        assert pair([self.OLD], new) == []
        assert pair([self.OLD], [self.OLD._replace(dataset="other")]) == []

    def test_a_part_of_the_name_is_enough(self) -> None:
        known = [self.OLD, self.OLD._replace(head="knn"), self.OLD._replace(backbone="lite01")]
        assert chosen("lite0/knn", known, "HEAD") == known[1]
        assert chosen("pets/lite0/linear", known, "HEAD") == self.OLD
        with pytest.raises(UserError, match="could be"):
            chosen("linear", known, "HEAD")


def test_the_workspace_beside_the_last_commit(here: History) -> None:
    """What the pipeline's flow reads for its table of headline metrics."""
    with revisions.opened("HEAD") as head, revisions.opened("workspace") as workspace:
        assert head.metrics == workspace.metrics
        assert list(head.metrics) == [Combination("pets", *each.split("/")) for each in GOOD]


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """Prefect's own server, in a process of its own with an empty database."""
    with prefect_test_harness():
        yield


class TestFlow:
    def test_it_leaves_an_artifact_and_the_page(self, server: None, here: History, tmp_path: Path) -> None:
        state = compare("good", "bad", page_file=tmp_path / "page.html", return_state=True)
        assert state.is_completed()
        assert str(state.message).startswith("Worse in top-1, mean per-class and NLL: good (")
        artifact: Any = Artifact.get("comparison")
        assert artifact.data == markdown.render(compared("good", "bad"))
        assert "<h1>Worse in top-1" in (tmp_path / "page.html").read_text()

    def test_before_the_first_results_there_is_nothing_to_compare_with(
        self, server: None, here: History
    ) -> None:
        state = compare("unevaluated", "good", return_state=True)
        assert state.is_completed()
        assert str(state.message).startswith("Nothing to compare with yet: unevaluated")

    def test_it_fails_where_asked_to_and_where_nothing_can_be_compared(
        self, server: None, here: History
    ) -> None:
        state = compare("good", "bad", fail_if_worse=True, return_state=True)
        assert state.is_failed()
        assert "Worse in top-1" in str(state.message)
        state = compare("good", "unevaluated", return_state=True)
        assert state.is_failed()
        assert "unevaluated" in str(state.message)
        state = compare("godd", "bad", return_state=True)
        assert state.is_failed()
        assert "did you mean 'good'" in str(state.message)


# In a browser


@pytest.fixture(scope="module")
def site(history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("site") / "comparison.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(history.path)
        file.write_text(page.render(build("good", "bad", pictures=True)), "utf-8")
    return file


@pytest.fixture(params=["light", "dark"])
def tab(browser: Browser, site: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, opened from its file; nothing else may be fetched, and no error logged."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=request.param)
    opened = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    opened.on("console", lambda message: errors.append(message.text))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda sent: requests.append(sent.url))
    opened.goto(site.as_uri())
    yield opened
    assert errors == []
    assert [url for url in requests if not url.startswith("data:")] == [site.as_uri()]
    context.close()


def test_the_page_can_be_read_in_light_and_dark(tab: Page) -> None:
    seen, low = tab.evaluate(CONTRASTS)
    assert seen > 200
    assert low == []
    tab.click("#theme")
    assert tab.evaluate(CONTRASTS)[1] == []


def test_the_page_shows_verdicts_and_pictures(tab: Page) -> None:
    assert tab.locator("h1").inner_text() == "Worse in top-1, mean per-class and NLL"
    assert "caught" not in tab.title()
    assert tab.locator(".tests .verdict.worse").count() == 3
    assert tab.locator(".forest tr.worse .whisker").count() == 3
    assert tab.locator("svg .zero").count() > 6
    assert tab.locator(".sheet img").count() > 10
    assert tab.locator("img").evaluate_all("all => all.filter(each => !each.naturalWidth).length") == 0
    assert tab.locator("img:not([alt]), img[alt=''], thead th:not([scope])").count() == 0
    tab.locator(".sheet img").first.click()
    assert tab.locator("dialog img").is_visible()


def test_a_phone_scrolls_down_only(browser: Browser, site: Path) -> None:
    opened = browser.new_page(viewport={"width": 390, "height": 844})
    opened.goto(site.as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") == 390
    opened.close()
