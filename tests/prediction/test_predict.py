"""`python -m flows.predict` on the finished sample: table, page, what is repeated, what is refused."""

import json
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Page

from pets.core.errors import UserError
from pets.core.files import read_json, write_json
from pets.prediction import models
from pets.prediction.predict import predict
from tests.conftest import BACKBONE, HEADS, Workspace

PREDICT = ("python", "-m", "flows.predict")
NASTY = '<img src=x onerror="document.title=1">.png'
MODEL = f"sample/{BACKBONE}/prototype"


@pytest.fixture(scope="module")
def workspace(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the finished sample, for all tests of this module."""
    return finished.copy(tmp_path_factory.mktemp("predict") / "workspace")


@pytest.fixture(scope="module")
def photos(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test pictures in a folder, one of them twice, one with a nasty name, and files that are none."""
    folder = tmp_path_factory.mktemp("photos")
    splits = pd.read_parquet(workspace.path / "data/sample/splits.parquet")
    test = sorted(splits["image_id"][splits["split"] == "test"])
    images = workspace.path / "data/sample/raw/images"
    (folder / "deeper").mkdir()
    for number, image_id in enumerate(test):
        target = folder / ("deeper" if number % 2 else "") / f"{image_id}.jpg"
        target.write_bytes((images / f"{image_id}.jpg").read_bytes())
    (folder / "again.jpg").write_bytes((images / f"{test[0]}.jpg").read_bytes())
    Image.new("RGB", (40, 30), "red").save(folder / NASTY.replace("/", ""))
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("no picture either")
    return folder


@pytest.fixture(scope="module")
def printed(workspace: Workspace, photos: Path) -> str:
    """What predicting all of them printed."""
    return workspace.run(*PREDICT, str(photos), "--model", MODEL)


def table(workspace: Workspace, folder: str = "predictions") -> Any:
    """The results by the files' names."""
    found = pd.read_parquet(workspace.path / folder / "predictions.parquet")
    return found.set_index(found["path"].map(lambda path: Path(path).name))


def test_the_test_pictures_get_the_predictions_of_evaluate(
    printed: str, workspace: Workspace, photos: Path
) -> None:
    found = table(workspace)
    folder = workspace.path / "evaluations" / MODEL
    classes = read_json(folder / "provenance.json")["classes"]
    evaluated: Any = pd.read_parquet(folder / "predictions.parquet")
    assert len(evaluated) == 37 * 3
    for row in evaluated.itertuples():
        mine = found.loc[f"{row.image_id}.jpg"]
        assert mine["label"] == row.predicted
        assert mine["species"] == row.predicted_species
        of_all = dict(zip(classes, row.probabilities, strict=True))
        expected = [of_all[label] for label in mine["labels"]]
        np.testing.assert_allclose(mine["probabilities"], expected, atol=1e-6)
        assert list(mine["probabilities"]) == sorted(mine["probabilities"], reverse=True)
    unknown = int(found["unknown"].eq(True).sum())
    assert f"113 of 115 pictures were classified by {MODEL}; {unknown} look unknown to it." in printed


def test_a_red_rectangle_is_unknown_and_most_test_pictures_are_not(
    printed: str, workspace: Workspace
) -> None:
    found = table(workspace)
    usable = found[found["problem"].isna()]
    red = usable.index.str.endswith(".png")
    assert red.sum() == 1
    threshold = read_json(workspace.path / "models" / MODEL / "head.json")["unknown"]["threshold"]
    assert usable.loc[red, "unknown"].all()
    assert usable.loc[~red, "unknown"].mean() < 0.15
    assert (usable["unknown"] == (usable["unknown_score"] > threshold)).all()


def test_what_is_no_picture_has_its_reason_and_other_files_are_left_alone(
    printed: str, workspace: Workspace
) -> None:
    found = table(workspace)
    assert "not a picture" in found.loc["broken.jpg", "problem"]
    assert pd.isna(found.loc["broken.jpg", "label"])
    assert found.loc["empty.png", "problem"]
    assert "notes.txt" not in found.index
    assert f"left out: {found.loc['broken.jpg', 'path']}: {found.loc['broken.jpg', 'problem']}" in printed
    lines = pd.read_csv(workspace.path / "predictions/predictions.csv").set_index("path")
    usable = found[found["problem"].isna()]
    assert list(lines.loc[usable["path"], "label_1"]) == list(usable["label"])
    np.testing.assert_allclose(
        lines.loc[usable["path"], "probability_1"], usable["probability"].astype(float)
    )
    assert len(lines) == len(found) == 37 * 3 + 4


def test_the_most_similar_training_picture_of_a_training_picture_is_itself(
    printed: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.path)
    splits = pd.read_parquet(workspace.path / "data/sample/splits.parquet")
    some = splits["image_id"][splits["split"] == "train"].iloc[:3]
    files = [Path(f"data/sample/raw/images/{each}.jpg") for each in some]
    predict(files, MODEL, Path("training"))
    found = table(workspace, "training")
    for image_id in some:
        similar = found.loc[f"{image_id}.jpg", "similar"]
        assert similar[0] == image_id
        assert len(set(similar)) == 3
        assert not set(similar) & set(splits["image_id"][splits["split"] == "test"])


def test_a_picture_is_embedded_once(
    printed: str,
    workspace: Workspace,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workspace.path)
    workspace.run("cp", "-r", "predictions", "twice")
    before = table(workspace)
    archive = tmp_path / "more.tar.gz"
    new = tmp_path / "new.png"
    Image.effect_noise((64, 64), 50).save(new)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(new, "inside/new.png")
    output = workspace.run(
        *PREDICT, str(photos), str(photos), str(archive), "--model", MODEL, "--to", "twice"
    )
    assert f"{BACKBONE}: 1 pictures embedded, 113 known before." in output
    after = table(workspace, "twice")
    assert after.loc["new.png", "path"] == f"{archive}/inside/new.png"
    pd.testing.assert_frame_equal(after.drop("new.png"), before)


def test_killed_midway_and_run_again_no_picture_is_twice_and_none_is_missing(
    printed: str, workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    small_shards = "from pets.embeddings import store; store.ROWS = 8; from pets.prediction import predict; "
    code = f"{small_shards} import sys; predict.main(sys.argv[1:])"
    command = (sys.executable, "-c", code, str(photos), "--model", MODEL, "--to", str(tmp_path))
    with subprocess.Popen(command, cwd=workspace.path, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len([*tmp_path.glob(".features/.*.partial/*.parquet")]) < 3:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "predictions.parquet").exists()
    output = workspace.run(*command)
    found = re.search(rf"{BACKBONE}: (\d+) pictures embedded, (\d+) known before.", output)
    assert found is not None
    assert int(found[2]) >= 6  # three shards of eight or so
    assert int(found[1]) + int(found[2]) == 113
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "predictions.parquet"), table(workspace).reset_index(drop=True)
    )


def test_without_the_training_pictures_none_are_shown(
    printed: str,
    workspace: Workspace,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As in a clone that has the models alone."""
    alone = Workspace(tmp_path)
    for name in ("models", "params.yaml"):
        alone.run("cp", "-r", str(workspace.path / name), name)
    monkeypatch.chdir(alone.path)
    predict([photos / "again.jpg"], MODEL, Path("predictions"))
    assert "no similar ones are shown" in capsys.readouterr().out
    found, expected = (table(each).loc["again.jpg"] for each in (alone, workspace))
    for name in ("path", "sha256", "problem", "label", "unknown", "species"):
        assert found[name] == expected[name] or (pd.isna(found[name]) and pd.isna(expected[name])), name
    assert list(found["labels"]) == list(expected["labels"])
    # This process and that of the command may round the last digit in different ways.
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-5)
    assert found["probability"] == found["probabilities"][0]
    assert found["unknown_score"] == pytest.approx(expected["unknown_score"], rel=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "there is no file or folder"),
        ("empty", "no picture (.jpg"),
        ("text.txt", "no picture that can be used"),
        ("some.zip", "neither a tar nor a zip"),
    ],
)
def test_nothing_to_predict_is_an_error_and_leaves_earlier_results(
    name: str,
    message: str,
    printed: str,
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "some.zip").write_text("no archive")
    monkeypatch.chdir(workspace.path)
    before = Path("predictions/predictions.csv").read_bytes()
    with pytest.raises(UserError, match=re.escape(message)):
        predict([tmp_path / name], MODEL, Path("predictions"))
    assert Path("predictions/predictions.csv").read_bytes() == before


def test_a_mistyped_model_is_one_line(workspace: Workspace, photos: Path) -> None:
    output = workspace.run(*PREDICT, str(photos), "--model", f"sample/{BACKBONE}/linaer", fails=True)
    [line] = output.splitlines()
    assert line.startswith("predict: ")
    assert f"did you mean 'sample/{BACKBONE}/linear'" in line


def test_other_weights_than_the_heads_are_refused(
    workspace: Workspace, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Workspace(tmp_path)
    for name in ("models", "params.yaml"):
        other.run("cp", "-r", str(workspace.path / name), name)
    monkeypatch.chdir(other.path)
    file = Path("models", MODEL, "head.json")
    content = read_json(file)
    content["embeddings"][BACKBONE]["weights_sha256"] = "0" * 64
    write_json(file, content)
    with pytest.raises(UserError, match=re.escape("was trained with 000000000000...")):
        predict([photos / "again.jpg"], MODEL, Path("predictions"))


class TestModels:
    def test_the_best_on_validation_is_the_default(
        self, finished: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(finished.path)
        scores = {head: models.find(f"sample/{BACKBONE}/{head}").validation_score for head in HEADS}
        assert models.find(None).name == f"sample/{BACKBONE}/{max(scores, key=lambda head: scores[head])}"

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ([], "there is no trained model in models/"),
            (["a/b/linear", "b/timm/c.d/knn"], "models of a, b; say which, such as --model a/b/linear"),
            (["a/b/linear"], "lacks head.safetensors, unknown.safetensors, validation.csv"),
        ],
    )
    def test_what_leaves_no_model_is_said(
        self, names: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in names:
            (tmp_path / "models" / name).mkdir(parents=True)
            (tmp_path / "models" / name / "head.json").write_text(json.dumps({"embeddings": {}}))
        with pytest.raises(UserError, match=message):
            models.find(None)

    def test_a_name_with_a_slash_in_its_backbone(self) -> None:
        model = models.Model("pets/timm/vit.dino-224/linear", Path("models"))
        assert (model.dataset, model.backbone) == ("pets", "timm/vit.dino-224")


@pytest.fixture
def page(tab: Page, printed: str, workspace: Workspace) -> Page:
    """The page, opened from its file."""
    tab.goto((workspace.path / "predictions/index.html").as_uri())
    assert "Which breed" in tab.locator("h1").inner_text()
    return tab


def test_the_page_shows_each_picture_and_filters_them(page: Page, workspace: Workspace) -> None:
    found = table(workspace)
    shown = page.locator(".picture:visible")
    assert shown.count() == len(found)
    assert "drawn by a program" in page.locator("aside.synthetic").inner_text()
    known = found[found["unknown"].eq(False)]
    first = page.locator(".picture:not(.problem):not(.unknown)").first
    row = known.iloc[0]
    assert first.locator("b").inner_text().lower() == row["label"].replace("_", " ").lower()
    assert first.locator(".similar img").count() == 3
    unsure = (found["probability"] < 0.5) & found["problem"].isna()
    page.get_by_label("unknown").check()
    assert shown.count() == found["unknown"].eq(True).sum() > 0
    page.get_by_label("unsure").check()
    assert shown.count() == unsure.sum()
    page.get_by_label("cat").check()
    assert shown.count() == (unsure & (found["species"] == "cat")).sum()
    page.get_by_label("not read").check()
    page.locator("[name=species]").first.check()
    assert shown.count() == found["problem"].notna().sum() == 2
    page.locator("#all").check()
    page.get_by_label("Breed").select_option(index=1)
    chosen = page.get_by_label("Breed").evaluate("each => each.selectedOptions[0].textContent")
    name = chosen.rpartition(" (")[0].lower().replace(" ", "_")
    assert shown.count() == (known["label"].str.lower() == name).sum() > 0


def test_more_pictures_than_a_page_holds_are_split(
    printed: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pets.prediction import page as pages

    monkeypatch.chdir(workspace.path)
    monkeypatch.setattr(pages, "PICTURES", 50)
    (tmp_path / "predictions.parquet").write_bytes(
        (workspace.path / "predictions/predictions.parquet").read_bytes()
    )
    (tmp_path / "index-9.html").write_text("of an earlier run")
    catalog = pd.read_parquet(workspace.path / "predictions/.catalog.parquet")
    files = dict(zip(catalog["image_id"], map(Path, catalog["path"]), strict=True))
    images = workspace.path / "data/sample/raw/images"
    gone = next(each for each in files if each.endswith("again.jpg"))
    pages.write(
        tmp_path,
        models.find(MODEL),
        files | {gone: tmp_path / "gone.jpg"},
        {file.stem: file for file in images.iterdir()},
    )
    names = sorted(each.name for each in tmp_path.glob("*.html"))
    assert names == ["index-2.html", "index-3.html", "index.html"]
    texts = [(tmp_path / name).read_text() for name in ("index.html", "index-2.html", "index-3.html")]
    assert [text.count('<li class="picture') for text in texts] == [50, 50, len(files) - 100]
    assert "This is page 2 of 3" in texts[1]
    assert texts[0].count("read again: No such file or directory") == 1
    assert NASTY.replace("/", "") not in "".join(texts)
    assert "115 pictures by breed" in texts[0]
    # The unknown pictures count too: without them, these would fit one page.
    monkeypatch.setattr(pages, "PICTURES", len(files) - 1)
    pages.write(tmp_path, models.find(MODEL), files, {file.stem: file for file in images.iterdir()})
    assert sorted(each.name for each in tmp_path.glob("*.html")) == ["index-2.html", "index.html"]
