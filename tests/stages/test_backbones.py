"""Every stage on a backbone of timm's, and on one that is joined, on a few images of coloured noise."""

import contextlib
import hashlib
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from dvc.repo import Repo
from PIL import Image
from safetensors.torch import save_file

from pets.catalog import summarize
from pets.classifier.classifier import load
from pets.comparison import revisions
from pets.comparison.revisions import Combination
from pets.core import params
from pets.core.files import write_json
from pets.core.stage import TIMINGS, run_stage
from pets.dataset import Dataset
from pets.embeddings import store
from pets.embeddings.features import features_of
from pets.prediction.predict import predict
from stages import (
    attack,
    audit,
    code,
    curve,
    embed,
    evaluate,
    features,
    gradcam,
    ideal,
    ideal_breeds,
    ideal_readings,
    report,
    train,
    transfer,
    tricks,
    unknown,
    without_suspects,
)
from stages import backbone as record_code
from tests.conftest import FEW_ATTACKS, ROOT, SMALL_GALLERIES

NETWORK = "vit_tiny_patch16_224.augreg_in21k"
VIT, LITE = f"timm/{NETWORK}-64", "efficientnet_lite0"
JOINED = f"{VIT}+{LITE}"
BREEDS = {"Bengal": ("cat", 230, 40, 40), "Ragdoll": ("cat", 230, 230, 60), "beagle": ("dog", 40, 60, 230),
          "pug": ("dog", 40, 220, 60)}  # fmt: skip
SPLITS = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
DATA, HEAD = Dataset("oxford-iiit-pet"), "linear"


def write_dataset() -> None:
    """Eight images of each breed; the last one of a pug has a cat's colour, so that there is a mistake."""
    random = np.random.default_rng(0)
    rows = []
    DATA.raw.mkdir(parents=True)
    for breed, (species, *colour) in BREEDS.items():
        for number, split in enumerate(SPLITS):
            mean = BREEDS["Bengal"][1:] if (breed, number) == ("pug", 7) else colour
            pixels = np.clip(np.array(mean) + random.integers(-40, 40, (48, 60, 3)), 0, 255).astype(np.uint8)
            name = f"{breed}_{number}"
            Image.fromarray(pixels).save(DATA.raw / f"{name}.png")
            sha256 = hashlib.sha256((DATA.raw / f"{name}.png").read_bytes()).hexdigest()
            rows.append((name, f"{name}.png", sha256, "ok", breed, species, split))
    columns = ["image_id", "path", "sha256", "status", "label", "species", "split"]
    table = pd.DataFrame(rows, columns=columns)
    catalog = table.drop(columns="split").assign(
        format="PNG", official_split=table["split"].replace("val", "train")
    )
    catalog.to_parquet(DATA.folder / "catalog.parquet")
    table[["image_id", "label", "species", "split"]].to_parquet(DATA.folder / "splits.parquet")
    write_json(DATA.folder / "catalog.json", summarize(DATA.folder / "catalog.parquet"))
    origin = {
        "source": "sample",
        "label_name": "breed",
        "synthetic": True,
        "from_imagenet": False,
        "archives": [],
    }
    write_json(DATA.folder / "origin.json", origin)


@dataclass
class Made:
    """The folder in which the stages ran, and what embed printed for each backbone, in this order."""

    folder: Path
    printed: dict[str, str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as monkeypatch, torch.random.fork_rng():
        monkeypatch.chdir(folder)
        (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
        names = f"run.backbones=[{JOINED}, {VIT}]"
        params.override([*SMALL_GALLERIES, *FEW_ATTACKS, names, f"run.heads=[{HEAD}]"])
        params.override(["attack.steps=1", "attack.curve.images=1", "attack.curve.epsilons=[2/255]"])
        params.override(
            ["embed.device=cpu", "embed.views=1", "evaluate.bootstrap=50", "ideal.classes=[zebra]"]
        )
        torch.manual_seed(0)
        (folder / "weights").mkdir()
        network = timm.create_model(NETWORK)
        save_file(network.state_dict(), folder / "weights" / f"{NETWORK}.safetensors")
        write_dataset()
        code.main()
        record_code.main(JOINED)
        printed = {each: run_embed(each) for each in (JOINED, VIT, LITE)}
        for backbone in (JOINED, VIT):
            ideal.main(backbone)
            train.main(DATA.name, backbone, HEAD)
            evaluate.main(DATA.name, backbone, HEAD)
            curve.main(DATA.name, backbone, HEAD)
            unknown.main(DATA.name, backbone, HEAD)
            attack.main(DATA.name, backbone, HEAD)
            ideal_breeds.main(DATA.name, backbone, HEAD)
            features.main(DATA.name, backbone)
            gradcam.main(DATA.name, backbone, HEAD)
            audit.main(DATA.name, backbone)
            without_suspects.main(DATA.name, backbone, HEAD)
            tricks.main(DATA.name, backbone)
        for backbone in (JOINED, VIT):
            ideal_readings.main(backbone)
            transfer.main(DATA.name, backbone, HEAD)
        report.main()
    return Made(folder, printed)


def run_embed(backbone: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        embed.main(DATA.name, backbone)
    return printed.getvalue()


@pytest.fixture(autouse=True)
def there(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.folder)


def figures(folder: str) -> list[dict]:
    return json.loads(Path(folder, "tiles/figures.json").read_text())


def test_nothing_is_embedded_twice(made: Made) -> None:
    assert f"{VIT}: 32 images embedded, 0 known before." in made.printed[JOINED]
    assert f"{LITE}: 32 images embedded, 0 known before." in made.printed[JOINED]
    assert made.printed[VIT] == f"{VIT}: 0 images embedded, 32 known before.\n"
    assert made.printed[LITE] == f"{LITE}: 0 images embedded, 32 known before.\n"
    for part in (VIT, LITE):
        own, as_part = (
            store.read(folder) for folder in (DATA.embeddings(part), DATA.embeddings(JOINED) / part)
        )
        assert own.metadata == as_part.metadata


def test_joined_vectors_are_the_parts_at_length_one() -> None:
    ids = DATA.splits()["image_id"]
    blocks = [features_of(DATA, part, ids).numpy() for part in (VIT, LITE)]
    joined = features_of(DATA, JOINED, ids)
    assert joined.shape == (32, 192 + 1280)
    expected = [block / np.linalg.norm(block, axis=1, keepdims=True) for block in blocks]
    np.testing.assert_allclose(joined, np.concatenate(expected, 1), atol=1e-6)
    metadata = DATA.embeddings_metadata(JOINED)
    assert (metadata["dimensions"], list(metadata["parts"])) == (192 + 1280, [VIT, LITE])
    # Nothing that only other backbones have is in a recipe: what was embedded before stays.
    assert "squash" not in metadata["parts"][LITE]["preprocessing"]


@pytest.mark.parametrize("backbone", [JOINED, VIT])
def test_the_classifier_sees_pictures_as_embed_does(backbone: str) -> None:
    classifier = load(DATA.model(backbone, HEAD), Path("weights"), "cpu", "float32")
    test = DATA.shuffled("test", 7)
    files = [DATA.raw / path for path in test["path"]]
    stored = features_of(DATA, backbone, test["image_id"])
    torch.testing.assert_close(classifier.features_of_files(files), stored, rtol=1e-3, atol=1e-3)
    pictures = [
        torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1) / 255 for file in files
    ]
    cosine = torch.cosine_similarity(classifier.mean_features(pictures), stored)
    assert cosine.min() > 0.995  # embed rounds after resizing, and computes in the processor's precision
    picture = pictures[0].requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.log_probabilities([picture])[0, 0], picture)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("backbone", [JOINED, VIT])
def test_new_pictures_are_predicted_as_evaluate_predicts(backbone: str) -> None:
    predict([DATA.raw], f"{DATA.name}/{backbone}/{HEAD}", Path("predictions"))
    found: Any = pd.read_parquet("predictions/predictions.parquet")
    found = found.set_index(found["path"].map(lambda path: Path(path).stem))
    evaluated: Any = pd.read_parquet(DATA.evaluation(backbone, HEAD) / "predictions.parquet")
    assert len(found) == 32
    for row in evaluated.itertuples():
        mine = found.loc[row.image_id]
        assert (mine["label"], mine["species"]) == (row.predicted, row.predicted_species)
        assert mine["probability"] == pytest.approx(row.probability, abs=1e-6)
    assert found.loc["Bengal_0", "similar"][0] == "Bengal_0"


@pytest.mark.parametrize("backbone", [JOINED, VIT])
def test_both_are_attacked_and_explained(backbone: str) -> None:
    examples = pd.read_csv(f"attacks/{DATA.name}/{backbone}/{HEAD}/examples.csv")
    assert len(examples) > 0
    assert not examples["non_finite"].any()
    (mistakes,) = figures(f"gradcams/{DATA.name}/{backbone}/{HEAD}")
    assert "blocks.11.norm1" in mistakes["caption"]
    assert ("added up" in mistakes["caption"]) == (backbone == JOINED)
    shown = figures(f"features/{DATA.name}/{backbone}")
    titles = " ".join(each["title"] for each in shown)
    assert f"Feature maps of {VIT} for" in titles
    assert (f"Feature maps of {LITE} for" in titles) == (backbone == JOINED)
    assert len(figures(f"ideals/{DATA.name}/{backbone}/{HEAD}")[0]["tiles"]) == 1


def test_transfer_goes_from_each_to_each() -> None:
    for backbone in (JOINED, VIT):
        table = pd.read_csv(f"transfers/{DATA.name}/{HEAD}/results/{backbone}/transfer.csv")
        assert set(table["source"]) > {JOINED, VIT}


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        (JOINED, "joins backbones, each with a classifier of its own"),
        (VIT, "trained without ImageNet's classes"),
    ],
)
def test_without_imagenets_classes_there_is_a_reason_in_place_of_ideals(backbone: str, reason: str) -> None:
    (none,) = figures(f"ideals/imagenet/{backbone}")
    assert none["tiles"] == []
    assert reason in none["caption"]
    assert not any(Path(f"ideals/imagenet/{backbone}/gallery").iterdir())
    assert pd.read_csv(f"ideal_readings/{backbone}.csv").empty


def test_the_page_has_both_and_the_reasons() -> None:
    page = Path("reports/index.html").read_text()
    assert "has no ideals of ImageNet" in page
    assert page.count("trained without ImageNet") == 1
    for backbone in (JOINED, VIT):
        assert f"<summary><h4>{backbone} <span>with</span> {HEAD}</h4>" in page
    summary = Path("reports/summary.md").read_text()
    assert summary.count(f"`{NETWORK}.safetensors`") == 1


def test_dvc_and_git_take_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dvc.yaml", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    with Repo.init() as repo:
        for backbone in (JOINED, VIT):
            (stage,) = repo.stage.collect(f"evaluate@{DATA.name}-{backbone}-{HEAD}")
            folder = f"evaluations/{DATA.name}/{backbone}/{HEAD}"
            assert {each.def_path.removeprefix(f"{folder}/") for each in stage.outs} > {
                "metrics.json",
                "mistakes",
            }
            kept = [f"{folder}/metrics.json", f"{folder}/scores.json", f"{folder}/mistakes"]
            ignored = subprocess.run(["git", "check-ignore", *kept], capture_output=True, text=True)
            assert ignored.stdout.split() == kept[1:]
            write_json(Path(kept[0]), {"top1": 0.5})
    with revisions.opened(revisions.WORKSPACE) as workspace:
        combinations = [Combination(DATA.name, backbone, HEAD) for backbone in (JOINED, VIT)]
        assert workspace.metrics == {each: {"top1": 0.5} for each in combinations}


def test_the_time_of_a_stage_is_a_file_of_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stages/embed.py", DATA.name, "timm/a+timm/b"])
    run_stage(lambda dataset, backbone: None)
    assert [each.name for each in TIMINGS.iterdir()] == [f"embed@{DATA.name}-timm-a+timm-b.json"]


def test_the_records_of_code_are_those_of_the_parts(made: Made) -> None:
    record = json.loads((made.folder / "backbones" / JOINED / "code.json").read_text())
    assert {"pets/backbones/timm_hub.py", "pets/backbones/efficientnet_lite.py"} <= set(record)
    assert "pets/backbones/torchvision.py" not in record
