"""The stages features, gradcam, ideal_breeds and ideal_readings on synthetic pets, and the page."""

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pets.galleries.figures import display_name
from tests.conftest import Workspace

BACKBONES = ("efficientnet_lite0", "efficientnet_lite1")
HEAD = "prototype"


@pytest.fixture(scope="module")
def sample(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished run with a second backbone, for one head."""
    workspace = finished.copy(tmp_path_factory.mktemp("galleries") / "workspace")
    workspace.set_params(
        f"run.backbones=[{', '.join(BACKBONES)}]",
        f"run.heads=[{HEAD}]",
        "ideal_breeds.breeds=[cat, samoyed, Bengal]",
        "ideal_breeds.coarse_steps=60",
        "ideal_breeds.fine_steps=12",
    )
    workspace.run("dvc", "repro")
    return workspace


def figures(folder: Path) -> list[dict]:
    return json.loads((folder / "tiles/figures.json").read_text())


def readings(sample: Workspace) -> pd.DataFrame:
    """Of ImageNet's ideals and the breeds', by every backbone."""
    files = [f"ideal_readings/{backbone}.csv" for backbone in BACKBONES]
    files += [f"transfers/sample/{HEAD}/results/{backbone}/readings.csv" for backbone in BACKBONES]
    return pd.concat([pd.read_csv(sample.path / file) for file in files])


def test_every_stage_wrote_its_gallery(sample: Workspace) -> None:
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


def test_captions_say_that_the_pets_are_synthetic(sample: Workspace) -> None:
    for folder in (
        f"ideals/sample/{BACKBONES[0]}/{HEAD}",
        f"gradcams/sample/{BACKBONES[0]}/{HEAD}",
        f"features/sample/{BACKBONES[0]}",
    ):
        for figure in figures(sample.path / folder):
            assert "not photographs" in figure["caption"]


def test_a_heads_ideals_are_classified_as_their_breed_or_species(sample: Workspace) -> None:
    summary = json.loads((sample.path / f"ideals/sample/{BACKBONES[0]}/{HEAD}/summary.json").read_text())
    assert summary["ideals"] == 3
    assert summary["non_finite"] == 0
    table = readings(sample)
    own = table[(table["group"] == f"sample/{HEAD}") & (table["maker"] == table["reader"])]
    assert len(own) == 3 * len(BACKBONES)
    assert own["first"].all()
    mean = own[own["maker"] == BACKBONES[0]]["probability"].mean()
    assert mean == pytest.approx(summary["mean_probability"], rel=1e-4)


def test_every_backbone_reads_every_ideal(sample: Workspace) -> None:
    table = readings(sample)
    pairs = table.groupby("group")[["maker", "reader"]].apply(lambda part: len(part.drop_duplicates()))
    assert dict(pairs) == {"imagenet": 4, f"sample/{HEAD}": 4}
    assert list(table.columns) == ["group", "maker", "reader", "name", "probability", "first"]
    assert table["probability"].between(0, 1).all()


def test_the_ideals_that_transfer_reads_are_those_of_the_gallery(sample: Workspace) -> None:
    for backbone in BACKBONES:
        folder = sample.path / f"transfers/sample/{HEAD}/ideals/{backbone}"
        listed = json.loads((folder / "ideals.json").read_text())
        assert [each["name"] for each in listed] == ["cat", "samoyed", "Bengal"]
        assert {each.name for each in folder.glob("*.png")} == {each["file"] for each in listed}
        (figure,) = figures(sample.path / f"ideals/sample/{backbone}/{HEAD}")
        assert [tile["lines"][0] for tile in figure["tiles"]] == [
            display_name(each["name"]) for each in listed
        ]


def test_gradcam_shows_picture_prediction_and_label(sample: Workspace) -> None:
    folder = f"sample/{BACKBONES[0]}/{HEAD}"
    tiles = figures(sample.path / "gradcams" / folder)[0]["tiles"]
    predictions = pd.read_parquet(sample.path / "evaluations" / folder / "predictions.parquet")
    wrong = predictions[~predictions["correct"]].sort_values("probability", ascending=False)
    assert len(tiles) == 3 * min(2, len(wrong))
    most_confident = wrong.iloc[0]
    assert tiles[0]["lines"][1] == most_confident["image_id"]
    assert tiles[1]["lines"][0] == f"for {display_name(most_confident['predicted'])}"
    assert tiles[2]["lines"][0] == f"for {display_name(most_confident['label'])}"


def test_the_page_shows_them(sample: Workspace) -> None:
    page = (sample.path / "reports/index.html").read_text()
    assert "What the networks see" in page
    for folder in ("ideals/imagenet", "features/sample"):
        for figure in figures(sample.path / folder / BACKBONES[1]):
            assert figure["title"].replace("'", "&#39;") in page
    assert page.count("How the other backbones classify them") == 4
    assert "data:image/webp;base64," in page


def test_nothing_runs_where_nothing_changed(sample: Workspace) -> None:
    assert "Running stage" not in sample.run("dvc", "repro")


@pytest.mark.parametrize(
    ("assignment", "command", "message"),
    [
        ("ideal.classes=[zebrra]", ("ideal", BACKBONES[0]), "did you mean 'zebra'"),
        ("ideal_breeds.breeds=[pugg]", ("ideal_breeds", "sample", BACKBONES[0], HEAD), "did you mean 'pug'"),
        (
            "features.layers={efficientnet_lite0: {network._blocks.99: []}}",
            ("features", "sample", BACKBONES[0]),
            "'network._blocks.99', but efficientnet_lite0 has no such layer",
        ),
    ],
)
def test_an_unknown_name_is_an_error_of_one_line(
    sample: Workspace, assignment: str, command: tuple[str, ...], message: str
) -> None:
    before = (sample.path / "params.yaml").read_text()
    sample.set_params(assignment)
    output = sample.run("python", "-m", f"stages.{command[0]}", *command[1:], fails=True)
    (sample.path / "params.yaml").write_text(before)
    assert message in output
    assert "Traceback" not in output
    assert len(output.splitlines()) == 1
