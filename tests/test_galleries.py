"""The doors features, gradcam, ideal_breeds and ideal_readings on drawn pets, and their part of the page."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.conftest import Workspace

BACKBONES = ("efficientnet_lite0", "efficientnet_lite1")
HEAD = "prototype"


@pytest.fixture(scope="module")
def sample(new_workspace: Callable[[], Workspace]) -> Workspace:
    workspace = new_workspace()
    workspace.set_params(
        "run.datasets=[sample]",
        f"run.backbones=[{', '.join(BACKBONES)}]",
        f"run.heads=[{HEAD}]",
        "datasets.sample.per_breed=4",
        "datasets.sample.size=96",
        "evaluate.bootstrap=10",
        "ideal_breeds.breeds=[cat, pug, Bengal]",
        "ideal_breeds.coarse_steps=60",
        "ideal_breeds.fine_steps=12",
    )
    workspace.run("dvc", "repro")
    return workspace


def figures(folder: Path) -> list[dict]:
    return json.loads((folder / "tiles/figures.json").read_text())


def test_every_stage_left_its_gallery(sample: Workspace) -> None:
    for backbone in BACKBONES:
        for folder in (
            f"ideals/imagenet/{backbone}",
            f"ideals/sample/{backbone}/{HEAD}",
            f"features/sample/{backbone}",
            f"gradcams/sample/{backbone}/{HEAD}",
        ):
            gallery = sample.path / folder / "gallery"
            pictures = list(gallery.glob("*.jpg"))
            assert pictures
            for picture in pictures:
                with Image.open(picture) as image:
                    assert image.width >= 720
            for figure in figures(sample.path / folder):
                assert len(figure["caption"]) > 80
                assert figure["tiles"]


def test_captions_say_that_the_pets_are_drawn(sample: Workspace) -> None:
    for folder in (f"ideals/sample/{BACKBONES[0]}/{HEAD}", f"gradcams/sample/{BACKBONES[0]}/{HEAD}"):
        assert "drawn pets, not photographs" in figures(sample.path / folder)[0]["caption"]
    assert (
        "drawn pets, not photographs"
        in figures(sample.path / f"features/sample/{BACKBONES[0]}")[0]["caption"]
    )


def test_a_heads_ideals_are_read_as_their_breed_or_species(sample: Workspace) -> None:
    metrics = json.loads((sample.path / f"ideals/sample/{BACKBONES[0]}/{HEAD}/metrics.json").read_text())
    assert metrics["ideals"] == 3
    assert metrics["given_up"] == 0
    readings = pd.read_csv(sample.path / "ideal_readings/readings.csv")
    own = readings[(readings["group"] == f"sample/{HEAD}") & (readings["maker"] == readings["reader"])]
    assert own["first"].all()
    mine = own[own["maker"] == BACKBONES[0]]["probability"].mean()
    assert mine == pytest.approx(metrics["mean_probability"], rel=1e-4)


def test_every_backbone_reads_every_ideal(sample: Workspace) -> None:
    readings = pd.read_csv(sample.path / "ideal_readings/readings.csv")
    pairs = readings.groupby("group")[["maker", "reader"]].apply(lambda part: len(part.drop_duplicates()))
    assert dict(pairs) == {"imagenet": 4, f"sample/{HEAD}": 4}
    assert readings["probability"].between(0, 1).all()
    metrics = json.loads((sample.path / "ideal_readings/metrics.json").read_text())
    assert len(metrics[f"sample/{HEAD}"]) == 4


def test_gradcam_shows_picture_guess_and_truth(sample: Workspace) -> None:
    folder = f"sample/{BACKBONES[0]}/{HEAD}"
    tiles = figures(sample.path / "gradcams" / folder)[0]["tiles"]
    predictions = pd.read_parquet(sample.path / "evaluations" / folder / "predictions.parquet")
    wrong = predictions[~predictions["correct"]].sort_values("probability", ascending=False)
    assert len(tiles) == 3 * min(2, len(wrong))
    surest = wrong.iloc[0]
    assert tiles[0]["lines"][1] == surest["image_id"]
    assert tiles[1]["lines"][0] == f"for {surest['predicted'].replace('_', ' ')}"
    assert tiles[2]["lines"][0] == f"for {surest['label'].replace('_', ' ')}"


def test_the_page_shows_them(sample: Workspace) -> None:
    page = (sample.path / "reports/index.html").read_text()
    assert "What the networks see" in page
    for folder in ("ideals/imagenet", "features/sample"):
        for figure in figures(sample.path / folder / BACKBONES[1]):
            assert figure["title"].replace("'", "&#39;") in page
    assert page.count("How the other backbones read them") == 4
    assert "data:image/webp;base64," in page


def test_nothing_changed_nothing_runs(sample: Workspace) -> None:
    assert "Running stage" not in sample.run("dvc", "repro")


@pytest.mark.parametrize(
    ("assignment", "command", "message"),
    [
        ("ideal.classes=[zebrra]", ("ideal", BACKBONES[0]), "did you mean 'zebra'"),
        ("ideal_breeds.breeds=[pugg]", ("ideal_breeds", "sample", BACKBONES[0], HEAD), "did you mean 'pug'"),
        (
            "features.layers={efficientnet_lite0: {network._blocks.99: []}}",
            ("features", "sample", BACKBONES[0]),
            "'network._blocks.99', which is no layer of efficientnet_lite0",
        ),
    ],
)
def test_a_name_that_is_not_there(
    sample: Workspace, assignment: str, command: tuple[str, ...], message: str
) -> None:
    before = (sample.path / "params.yaml").read_text()
    sample.set_params(assignment)
    output = sample.run("python", "-m", f"stages.{command[0]}", *command[1:], fails=True)
    (sample.path / "params.yaml").write_text(before)
    assert message in output
    assert "Traceback" not in output
    assert len(output.splitlines()) == 1
