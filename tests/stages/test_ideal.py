"""The stage `ideal`: a real backbone, few steps, and files classified by other means than the pipeline."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pets.backbones.build import build
from pets.backbones.imagenet import class_places
from pets.core import params
from pets.core.errors import UserError
from stages import ideal
from tests.conftest import ROOT

BACKBONE = "efficientnet_lite0"
FEW = (
    "ideal.classes=[zebra, tabby]",
    "ideal.ablation=[tabby]",
    "ideal.frames=4",
    "ideal.method.coarse_steps=12",
    "ideal.method.fine_steps=4",
    "embed.precision=float32",
    "embed.views=1",
)


def workspace(folder: Path, monkeypatch: pytest.MonkeyPatch, *assignments: str) -> None:
    monkeypatch.chdir(folder)
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    params.override([*FEW, *assignments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("made")
        workspace(folder, monkeypatch)
        ideal.main(BACKBONE)
    return folder / "ideals/imagenet" / BACKBONE


def test_the_probability_is_that_of_the_saved_file(made: Path) -> None:
    """Decoded by Pillow, cropped and normalized here, classified by the network: nothing of the pipeline."""
    network = build(BACKBONE, Path("weights"))
    summary = json.loads((made / "summary.json").read_text())
    for number, name in enumerate(("zebra", "tabby")):
        for key, ending in (("probability", ""), ("without_total_variation", "-without_total_variation")):
            with Image.open(made / f"pictures/{number:02d}-{name}{ending}.png") as image:
                assert image.size == (256, 256)
                pixels = np.asarray(image.convert("RGB"))[16:-16, 16:-16].astype(np.float32)
            inputs = torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None]
            with torch.inference_mode():
                assert network.imagenet is not None
                probability = network.imagenet(inputs).softmax(1)[0, class_places(name)]
            assert summary[key][name] == pytest.approx(float(probability), rel=1e-3, abs=1e-6)
    assert summary["non_finite"] == 0


def test_every_figure_has_a_title_a_caption_and_percentages(made: Path) -> None:
    figures = json.loads((made / "tiles/figures.json").read_text())
    assert [each["name"] for each in figures] == ["ideals", "without_total_variation", "ablation-00"]
    assert [len(each["tiles"]) for each in figures] == [2, 2, 8]
    summary = json.loads((made / "summary.json").read_text())
    for figure in figures:
        assert "saved 8-bit PNG is classified" in figure["caption"]
        assert figure["title"]
        assert all(tile["lines"][-1].endswith("%") for tile in figure["tiles"])
    first = figures[0]["tiles"][0]
    assert first["lines"] == ["zebra", f"{100 * summary['probability']['zebra']:.1f}%"]
    with Image.open(made / "tiles" / first["motion"]) as motion:
        assert getattr(motion, "n_frames", 1) == 4


def test_the_same_inputs_give_the_same_bytes(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(tmp_path, monkeypatch)
    ideal.main(BACKBONE)
    files = [each.relative_to(made) for each in made.rglob("*.*")]
    assert len(files) > 20
    for file in files:
        assert (tmp_path / "ideals/imagenet" / BACKBONE / file).read_bytes() == (made / file).read_bytes()


def test_an_unknown_class_is_an_error_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(tmp_path, monkeypatch, "ideal.classes=[zebra, taby]")
    with pytest.raises(UserError, match="'taby', which is no class of ImageNet; did you mean 'tabby'"):
        ideal.main(BACKBONE)
    assert not (tmp_path / "ideals").exists()


def test_without_classes_there_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace(tmp_path, monkeypatch, "ideal.classes=[]", "ideal.ablation=[]")
    ideal.main(BACKBONE)
    folder = tmp_path / "ideals/imagenet" / BACKBONE
    assert json.loads((folder / "tiles/figures.json").read_text()) == []
    assert [each.name for each in (folder / "pictures").iterdir()] == ["ideals.json"]
