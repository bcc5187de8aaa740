"""What a user relies on in a history: which steps are marked, what is followed, and what is said."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.history import main
from pets.comparison.build import build as compare
from pets.comparison.verdicts import BETTER, WORSE
from pets.history.build import build
from pets.history.result import History, Line, Point, verdict
from tests.conftest import BACKBONE as TRAINED
from tests.conftest import ROOT, Workspace
from tests.history.conftest import ADDED, BACKBONE, BUG, FIX, REMOVED, RENAMED
from tests.history.made import BUGGY, RIGHT, SPLIT, TRAIN, UNTRAINED, Made

METRICS = f"evaluations/pets/{TRAINED}/linear/metrics.json"  # of the last commits


def built(*words: str, baseline: str | None = None, last: int = 30, patience: float = 30) -> History:
    return build(words, baseline, last, patience)


def everything(made: Made) -> str:
    """The range of all its commits."""
    return f"{made.shas[0]}..{made.shas[-1]}"


def marked(history: History) -> list[str]:
    return [history.commits[at].subject for at in history.marked]


def line(history: History, head: str) -> Line:
    return next(each for each in history.lines if each.points[-1].combination.head == head)


def at(history: History, subject: str, head: str = "linear") -> Point:
    """The point of the first commit with this subject."""
    place = next(i for i, commit in enumerate(history.commits) if commit.subject == subject)
    return next(each for each in line(history, head).points if each.commit == place)


@pytest.fixture(scope="module")
def whole(forty: Made) -> History:
    """The history of all forty commits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(forty.path)
        return built(everything(forty))


class TestForty:
    def test_exactly_the_bug_its_fix_and_the_backbone_are_marked(self, whole: History) -> None:
        assert len(whole.commits) == 40
        assert marked(whole) == [BACKBONE, BUG, FIX]
        assert whole.headline == "3 of 39 steps beyond chance"
        marks = {whole.commits[point.commit].subject: point.mark for _, point in whole.real}
        assert marks == {BACKBONE: BETTER, BUG: WORSE, FIX: BETTER}
        assert [len(each) for each in whole.marked.values()] == [2, 2, 2]  # of both heads

    def test_a_mark_says_what_changed(self, whole: History) -> None:
        assert at(whole, BUG).causes == ("code: stages/train.py",)
        assert at(whole, FIX, "prototype").causes == ("code: stages/train.py",)
        assert at(whole, BACKBONE).causes == (f"backbone: {UNTRAINED} → {TRAINED}",)
        assert at(whole, BACKBONE).title == f"pets · {UNTRAINED} → {TRAINED} · linear"

    def test_the_same_predictions_need_no_test(self, whole: History) -> None:
        no_ops = [i for i, commit in enumerate(whole.commits) if commit.subject == "no-op"]
        assert len(no_ops) == 10
        points = [point for each in whole.lines for point in each.points if point.commit in no_ops]
        assert {verdict(point) for point in points} == {"= same"}
        steps = [point.step for each in whole.lines for point in each.points if point.step]
        assert 0 < whole.counted <= 3 * sum(bool(step.tests) for step in steps)

    def test_what_is_renamed_removed_or_added_is_followed(self, whole: History) -> None:
        subjects = [commit.subject for commit in whole.commits]
        points = [len(line(whole, head).points) for head in ("linear", "prototype", "knn")]
        assert points == [40, subjects.index(REMOVED), 40 - subjects.index(ADDED)]
        assert [names for _, names in line(whole, "linear").renamings] == [
            f"sample → pets · {UNTRAINED} · linear",
            f"pets · {UNTRAINED} → {TRAINED} · linear",
        ]
        assert verdict(at(whole, RENAMED)) == "= same"
        assert verdict(at(whole, ADDED, "knn")) == "first"
        last = line(whole, "prototype").points[-1]
        assert whole.commits[last.commit + 1].subject == REMOVED

    def test_the_figures_are_those_of_dvc_and_of_a_comparison(self, whole: History, here: Made) -> None:
        point = at(whole, BUG)
        assert point.step
        assert point.against is not None
        old, new = (whole.commits[place].sha for place in (point.against, point.commit))
        file = f"evaluations/pets/{TRAINED}/linear/metrics.json"
        with Repo() as repo:
            diff = repo.metrics.diff(old, new)["diff"][file]
            [_, experiment] = repo.experiments.show(revs=[new])
        shown = experiment.data.metrics[file]["data"]
        pair = next(each for each in compare(old, new).pairs if each.pairing.new.head == "linear")
        for test, other in zip(point.step.tests, pair.tests, strict=True):
            key = test.metric.key
            assert point.metrics[key] == shown[key] == diff[key]["new"] == pair.new_metrics[key]
            assert diff[key]["old"] == pair.old_metrics[key]
            assert (test.old, test.new) == pytest.approx((diff[key]["old"], diff[key]["new"]))
            assert test.verdict == other.verdict == WORSE
        assert point.step.tests[0].p == pair.tests[0].p
        assert pair.paired
        assert (point.step.gained, point.step.lost) == (len(pair.paired.gained), len(pair.paired.lost))

    def test_by_default_the_last_commits_in_which_a_metric_changed(self, here: Made) -> None:
        history = built()
        assert len(history.commits) < 30
        assert "no-op" not in [commit.subject for commit in history.commits]
        assert history.commits[-1].sha == here.shas[-1]
        three = built("main", last=3)
        assert [each.sha for each in three.commits] == [each.sha for each in history.commits[-3:]]

    def test_several_revisions_are_shown_in_their_order(self, here: Made) -> None:
        wanted = [here.shas[6], here.shas[-1], here.shas[0]]
        assert [each.sha for each in built(*wanted).commits] == wanted

    def test_every_commit_against_a_baseline(self, whole: History, here: Made) -> None:
        shas, subjects = here.shas, [commit.subject for commit in whole.commits]
        bug, fix = subjects.index(BUG), subjects.index(FIX)
        history = built(f"{shas[bug - 3]}..{shas[fix + 2]}", baseline=shas[bug - 4])
        assert history.baseline == 0
        assert {point.against for each in history.lines for point in each.points} == {None, 0}
        assert [history.commits[place].sha for place in history.marked] == shas[bug:fix]

    def test_the_same_history_gives_the_same(self, whole: History, here: Made) -> None:
        assert built(everything(here)).lines == whole.lines


class TestWhatIsNotThere:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("<<<<<<< ours\n", "is not valid YAML"),
            ("schema: '1.0'\n", "is of another version of DVC"),
        ],
    )
    def test_a_lock_that_cannot_be_read(self, copy: Made, text: str, reason: str) -> None:
        lock = copy.path / "dvc.lock"
        content = lock.read_text()
        lock.write_text(text + content.replace("schema: '2.0'\n", ""))
        copy.run("git", "commit", "-qam", "damaged")
        damaged = copy.shas[-1][:7]
        lock.write_text(content)
        copy.run("git", "commit", "-qam", "repaired")
        history = built("HEAD~3..HEAD")
        assert any(f"dvc.lock of {damaged} {reason}" in note for note in history.notes)
        last, alone = at(history, "repaired"), at(history, "damaged")
        assert verdict(alone) == "metrics alone"
        assert alone.metrics == last.metrics
        assert last.against == alone.commit - 1

    def test_metrics_that_cannot_be_read_are_left_out(self, copy: Made) -> None:
        (copy.path / METRICS).write_text("{")
        copy.run("git", "commit", "-qam", "damaged")
        history = built("HEAD~1..HEAD")
        assert any(f"{METRICS} of " in note and "is damaged" in note for note in history.notes)
        assert [len(line(history, head).points) for head in ("linear", "knn")] == [1, 2]

    def test_metrics_that_are_no_numbers_are_left_out(self, copy: Made) -> None:
        file = copy.path / METRICS
        file.write_text(json.dumps({"top1": None, "mean_per_class": float("nan"), "nll": 0.3}))
        last = line(built("HEAD", "workspace"), "linear").points[-1]
        assert last.metrics == {"nll": 0.3}
        assert verdict(last) == "metrics alone"

    def test_metrics_that_are_not_of_the_predictions(self, copy: Made) -> None:
        file = copy.path / METRICS
        file.write_text(json.dumps(json.loads(file.read_text()) | {"top1": 0.5}))
        history = built("HEAD", "workspace")
        assert line(history, "linear").points[-1].missing.startswith("do not have the top-1 of their metrics")

    def test_without_predictions_the_metrics_are_shown_alone(self, copy: Made) -> None:
        shutil.rmtree(copy.path / ".dvc/cache")
        history = built(last=4)
        assert history.headline == "No step could be tested"
        [note] = history.notes
        assert note == (
            "8 of 8 points show their metrics alone: "
            "their predictions are not in DVC's cache, and no remote is configured."
        )
        assert all(point.metrics["top1"] > 0.7 for point in line(history, "linear").points)

    def test_predictions_come_from_the_remote_once(self, copy: Made, tmp_path: Path) -> None:
        wanted = built(last=4)
        cache = copy.path / ".dvc/cache/files"
        cache.rename(tmp_path / "files")
        (copy.path / ".dvc/config").write_text(
            f"[core]\n    remote = store\n['remote \"store\"']\n    url = {tmp_path}\n"
        )
        assert built(last=4).lines == wanted.lines
        fetched = [file for file in cache.rglob("*") if file.is_file()]
        assert 0 < len(fetched) <= 4 * 2 * 3
        (tmp_path / "files").rename(tmp_path / "elsewhere")
        assert built(last=4).lines == wanted.lines

    def test_a_silent_remote_is_given_up(self, copy: Made) -> None:
        shutil.rmtree(copy.path / ".dvc/cache")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            (copy.path / ".dvc/config").write_text(
                f"[core]\n    remote = far\n['remote \"far\"']\n    url = {address}\n"
            )
            history = built(last=2, patience=0.5)
        [note] = history.notes
        assert "the remote 'far' did not answer within 0.5 seconds" in note

    def test_a_shallow_clone_says_where_it_ends(
        self, forty: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clone = tmp_path / "clone"
        subprocess.run(["git", "clone", "-q", "--depth", "5", forty.path.as_uri(), clone], check=True)
        monkeypatch.chdir(clone)
        history = built()
        assert history.notes[0].startswith(
            f"This is a shallow clone that ends at {forty.shas[-5][:7]}; `git fetch --unshallow`"
        )
        assert len(history.commits) == 5


class TestDrift:
    def test_only_shared_images_are_compared(self, copy: Made) -> None:
        decisions = "".join(f"pug_{number},drop,,test,blurred\n" for number in (2, 4))
        (copy.path / "audits/pets.csv").write_text(f"image,verdict,label,who,why\n{decisions}")
        copy.commit("without some pugs")
        history = built("HEAD~1..HEAD")
        step = at(history, "without some pugs").step
        assert step
        assert (step.images, step.of_old, step.of_new) == (109, 111, 109)
        assert marked(history) == []

    def test_other_images_are_not_compared(self, copy: Made) -> None:
        official = 'usable["official_split"]'
        copy.edit(SPLIT, official, f'{official}.map({{"test": "train"}}).fillna("test")')
        copy.commit("tested on what was for training")
        point = at(built("HEAD~1..HEAD"), "tested on what was for training")
        assert point.remark == "not tested: they were tested on no image in common"

    def test_a_workspace_with_other_results_is_the_last_point(self, copy: Made) -> None:
        assert built(last=2).commits[-1].sha == copy.shas[-1]
        copy.edit(TRAIN, RIGHT, BUGGY)
        copy.repro()
        history = built(last=2)
        assert history.commits[-1].name == "workspace"
        assert marked(history) == ["not committed"]
        assert history.real[0][1].causes == ("code: stages/train.py",)


class TestErrors:
    """A line, and the exit status of a comparison's."""

    def fails(self, capsys: pytest.CaptureFixture[str], *words: str) -> str:
        assert main(words) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        [message] = printed.err.strip().splitlines()
        assert message.startswith("history: ")
        return message

    def test_revisions(self, here: Made, capsys: pytest.CaptureFixture[str]) -> None:
        assert "the range HEAD..HEAD holds no commit" in self.fails(capsys, "HEAD..HEAD")
        assert "there is no revision 'mian'; did you mean 'main'?" in self.fails(capsys, "mian")
        assert "there is no revision 'v1'" in self.fails(capsys, "v1..main")
        assert "there is no revision 'v1'" in self.fails(capsys, "--baseline", "v1")

    def test_projects(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert "is in no DVC project" in self.fails(capsys)
        workspace = Workspace(tmp_path)
        workspace.run("git", "init", "-q", "-b", "main")
        Repo.init(str(tmp_path)).close()
        assert "there is no commit yet" in self.fails(capsys)
        workspace.commit("nothing evaluated")
        assert "no commit here has metrics" in self.fails(capsys)
        shutil.rmtree(tmp_path / ".git")
        assert "is in no git repository" in self.fails(capsys)

    def test_a_file_that_cannot_be_written(
        self, here: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "cannot be written" in self.fails(capsys, "--last", "2", "--page", str(tmp_path))


def test_help_is_quick_to_load() -> None:
    code = "import sys, flows.history; print({'torch', 'dvc', 'pandas', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
