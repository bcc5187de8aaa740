"""The stage features on a few images of noise: what params.yaml names is what is shown."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pets.core import params
from pets.core.errors import UserError
from pets.visualization.feature_maps import equally_long
from stages import features

BACKBONE = "efficientnet_lite0"
COMMITTED = Path(__file__).parents[2] / "params.yaml"
SPLITS = {"a": "test", "b": "test", "c": "test", "d": "test", "e": "train", "f": "val"}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two data sets of the same six images, and a seventh that could not be decoded."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(COMMITTED, tmp_path)
    params.override(["features.pictures=1", "features.searched=3", "features.patches=2"])
    random = np.random.default_rng(0)
    for name in ("sample", "oxford-iiit-pet"):
        data = tmp_path / "data" / name
        (data / "raw").mkdir(parents=True)
        for image_id in SPLITS:
            pixels = random.integers(0, 256, (48, 64, 3), np.uint8)
            Image.fromarray(pixels).save(data / "raw" / f"{image_id}.png")
        ids = list(SPLITS)
        pd.DataFrame(
            {"image_id": ids, "label": "beagle", "species": "dog", "split": list(SPLITS.values())}
        ).to_parquet(data / "splits.parquet")
        pd.DataFrame(
            {
                "image_id": [*ids, "torn"],
                "path": [f"{each}.png" for each in [*ids, "torn"]],
                "status": ["ok"] * 6 + ["it ends early"],
            }
        ).to_parquet(data / "catalog.parquet")
        (data / "origin.json").write_text(json.dumps({"synthetic": name == "sample"}))
    return tmp_path


def figures(dataset: str) -> list[dict]:
    return json.loads(Path("features", dataset, BACKBONE, "tiles", "figures.json").read_text())


def rows(figure: dict) -> list[list[str]]:
    """The first line under each tile, row by row."""
    lines = [tile["lines"][0] for tile in figure["tiles"]]
    return [lines[at : at + figure["columns"]] for at in range(0, len(lines), figure["columns"])]


def test_named_images_layers_and_channels_are_shown(workspace: Path) -> None:
    params.override(
        [
            "features.chosen={sample: [c, a]}",
            f"features.layers={{{BACKBONE}: {{network._blocks.2: [3, 17, 3], network._blocks.4: [1, 30], "
            "network._bn0: []}}",
        ]
    )
    features.main("sample", BACKBONE)
    maps = [each for each in figures("sample") if each["name"].startswith("maps")]
    assert [each["title"].rpartition(" ")[2] for each in maps] == ["c", "c", "a", "a"]
    assert rows(maps[0]) == [
        ["block 3 of 16, beginning of the network", "3", "17"],
        ["block 5 of 16, beginning of the network", "1", "30"],
    ]
    assert maps[0]["tiles"][0]["lines"][1:] == ["56×56×24", "network._blocks.2"]
    assert "the channels named in params.yaml" in maps[0]["caption"]
    (most_active,) = rows(maps[1])
    assert (most_active[0], len(most_active)) == ("beginning of the network", 9)
    assert "the 8 channels with the highest mean" in maps[1]["caption"]
    patches = [each for each in figures("sample") if each["name"].startswith("patches")]
    assert [row[0] for row in rows(patches[0])] == ["channel 3", "channel 17"]
    assert patches[0]["title"].endswith(": block 3 of 16, beginning of the network (network._blocks.2)")
    assert "channels named in params.yaml" in patches[0]["caption"]
    assert "channels most active in the images with feature maps" in patches[2]["caption"]


def test_names_for_another_data_set_or_backbone_have_no_effect(workspace: Path) -> None:
    params.override(["features.chosen={sample: [c, a]}", 'features.layers={vgg16: {"0.22": [3]}}'])
    features.main("oxford-iiit-pet", BACKBONE)
    maps = [each for each in figures("oxford-iiit-pet") if each["name"].startswith("maps")]
    assert len(maps) == 1
    assert len(rows(maps[0])) == 5


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("features.chosen={sample: [aa]}", "'aa' of sample: there is no such image; did you mean 'a'?"),
        ("features.chosen={sample: [a, e]}", "'e' of sample: it is in the split train, and only test images"),
        ("features.chosen={sample: [f]}", "'f' of sample: it is in the split val"),
        ("features.chosen={sample: [torn]}", "'torn' of sample: it is left out (it ends early)"),
        (
            "features.chosen={smple: [a]}",
            "features.chosen names the unknown data set 'smple'; did you mean 'sample'",
        ),
        ("features.layers={vgg61: {}}", "features.layers names the unknown backbone 'vgg61'"),
        (
            f"features.layers={{{BACKBONE}: {{network._bn0: [32]}}}}",
            f"'network._bn0', but in {BACKBONE} that layer has 32 channels",
        ),
    ],
)
def test_an_unknown_name_is_an_error(workspace: Path, assignment: str, message: str) -> None:
    params.override([assignment])
    with pytest.raises(UserError) as error:
        features.main("sample", BACKBONE)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not Path("features").exists()


def test_the_rows_of_a_figure_have_the_same_length() -> None:
    available = {"wide": 20, "narrow": 6, "named": 20, "last": 20}
    layers: dict[str, list[int]] = {"wide": [], "narrow": [], "named": list(range(8)), "last": []}
    assert [list(sheet) for sheet in equally_long(layers, available, 8)] == [
        ["wide", "last"],
        ["narrow"],
        ["named"],
    ]
