"""A fine-tuned backbone through the pipeline, on the synthetic sample: small pictures, one epoch."""

from pathlib import Path

import pandas as pd
import pytest

from pets.backbones.build import build
from pets.classifier.classifier import load
from pets.core.errors import UserError
from pets.core.files import read_json, write_json
from tests.conftest import BACKBONE, Workspace, stages_run

FINETUNED = f"{BACKBONE}-finetuned"
OF_A_HEAD = ("train", "evaluate", "curve", "unknown", "attack", "ideal_breeds", "transfer", "gradcam",
             "without_suspects")  # fmt: skip


@pytest.fixture(scope="module")
def workspace(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished run, and its backbone fine-tuned, with the linear head."""
    workspace = finished.copy(tmp_path_factory.mktemp("finetune") / "workspace")
    workspace.set_params(
        f"run.backbones=[{BACKBONE}, {FINETUNED}]",
        f"run.finetune=[{BACKBONE}]",
        "run.heads=[linear]",
        "finetune.epochs=1",
        "finetune.size=64",
    )
    output = workspace.run("dvc", "repro")
    assert stages_run(output) == {
        f"backbone@{FINETUNED}",
        f"finetune@sample-{BACKBONE}",
        f"embed@sample-{FINETUNED}",
        f"features@sample-{FINETUNED}",
        f"tricks@sample-{FINETUNED}",
        f"audit@sample-{FINETUNED}",
        f"ideal@{FINETUNED}",
        *(f"ideal_readings@{each}" for each in (BACKBONE, FINETUNED)),
        *(f"{stage}@sample-{FINETUNED}-linear" for stage in OF_A_HEAD),
        f"transfer@sample-{BACKBONE}-linear",
        "report",
    }
    return workspace


def test_everything_follows_the_new_weights(workspace: Workspace) -> None:
    folder = workspace.path / "backbones" / FINETUNED / "sample"
    record = read_json(folder / "record.json")
    assert (record["train"], record["validation"], record["size"]) == (74, 37, 64)
    model = read_json(workspace.path / "models/sample" / FINETUNED / "linear/head.json")
    recipe = model["embeddings"][FINETUNED]
    assert recipe["preprocessing"]["crop"] == 64
    lock = (workspace.path / "dvc.lock").read_text()
    assert recipe["weights_file"] in lock
    assert record["frozen_weights_sha256"] != recipe["weights_sha256"]
    assert not list((workspace.path / "data/sample").glob(".*.finetuning"))
    for results in ("attacks", "gradcams", "curves", "evaluations"):
        assert (workspace.path / results / "sample" / FINETUNED).exists()


def test_the_page_sets_it_beside_its_frozen_twin(workspace: Workspace) -> None:
    page = (workspace.path / "reports/index.html").read_text("utf-8")
    assert f"on frozen {FINETUNED}" not in page
    start = page.index('<section id="finetuned">')
    section = page[start : page.index("</section>", start)]
    correct = {}
    for backbone in (BACKBONE, FINETUNED):
        file = workspace.path / "evaluations/sample" / backbone / "linear/predictions.parquet"
        correct[backbone] = pd.read_parquet(file).set_index("image_id")["correct"]
        assert f'<td class="number">{100 * correct[backbone].mean():.1f}</td>' in section
    gained = int((correct[FINETUNED] & ~correct[BACKBONE]).sum())
    lost = int((correct[BACKBONE] & ~correct[FINETUNED]).sum())
    assert f'<td class="number">{gained}</td>\n      <td class="number">{lost}</td>' in section
    assert "The frozen network sees 224 pixels a side, the fine-tuned one 64" in section
    assert f"{FINETUNED} was fine-tuned on each data set, without ImageNet’s classes" in page.replace(
        "&#39;", "’"
    )


def test_compare_and_predict_take_it(workspace: Workspace) -> None:
    models = [f"--{side}-model={name}/linear" for side, name in (("old", BACKBONE), ("new", FINETUNED))]
    compared = workspace.run("python", "-m", "flows.compare", "HEAD", *models)
    assert "top-1" in compared.lower()
    splits = pd.read_parquet(workspace.path / "data/sample/splits.parquet")
    picture = splits["image_id"][splits["split"] == "test"].iloc[0]
    file = workspace.path / f"data/sample/raw/images/{picture}.jpg"
    model = f"sample/{FINETUNED}/linear"
    workspace.run("python", "-m", "flows.predict", "--model", model, str(file))
    predicted = pd.read_parquet(workspace.path / "predictions/predictions.parquet")["probability"]
    expected = workspace.path / "evaluations/sample" / FINETUNED / "linear/predictions.parquet"
    evaluated = pd.read_parquet(expected).set_index("image_id")["probability"]
    assert list(predicted) == pytest.approx([evaluated[picture]], abs=1e-4)


def test_weights_that_are_missing_or_others_are_refused(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.path)
    with pytest.raises(UserError, match=f"lacks the weights of {FINETUNED}; `dvc repro finetune` makes them"):
        build(FINETUNED, Path("weights"), "other")
    described = read_json(Path("models/sample", FINETUNED, "linear/head.json"))
    described["embeddings"][FINETUNED]["weights_sha256"] = "0" * 64
    write_json(tmp_path / "head.json", described)
    with pytest.raises(UserError, match=r"was trained with 000000000000\.\.\.; get those weights"):
        load(tmp_path, Path("weights"), "cpu")
