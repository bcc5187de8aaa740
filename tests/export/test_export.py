"""The exported file equals the pipeline: its resizing, its probabilities in two runtimes, and its card."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from pets import heads
from pets.backbones.base import Backbone
from pets.classifier.calibration import Calibration
from pets.classifier.classifier import Classifier, Extractor
from pets.classifier.fitted_head import FittedHead
from pets.classifier.unknown import Unknown
from pets.core.files import read_json
from pets.engines.pytorch import Engine
from pets.export import graph
from pets.export.int8 import quantize
from pets.export.onnx_file import parity, runtimes, write
from pets.heads import Examples, unit
from pets.images.preprocessing import Preprocessing, to_tensor
from tests.classifier.test_classifier import SETTINGS
from tests.conftest import BACKBONE, Workspace, stages_run

CLASSES = list("abcde")
SIZES = [(40, 60), (61, 33), (32, 32), (200, 90), (20, 25)]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(20, 300),
    width=st.integers(20, 300),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    squash=st.booleans(),
    seed=st.integers(0, 99),
)
def test_pictures_are_resized_as_embed_resizes_them(
    height: int, width: int, interpolation: str, squash: bool, seed: int
) -> None:
    """Few levels differ, and by two at most: PyTorch's weights for uint8 are rounded to 16 bits or less."""
    preprocessing = Preprocessing(64, 56, 60, interpolation, (0, 0, 0), (1, 1, 1), squash)
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    image = to_tensor(pixels)
    for ours, theirs in zip(
        graph.views(image.float(), preprocessing, 2), preprocessing.views(image, 2), strict=True
    ):
        difference = (ours - theirs.float()).abs()
        assert ours.shape == theirs.shape
        assert difference.max() <= 2
        assert (difference > 0).float().mean() < 0.15


def network(kind: str) -> tuple[nn.Module, int]:
    """Made weights; the features' number."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if kind == "resnet18":
            resnet = torchvision.models.resnet18(weights=None)
            resnet.fc = nn.Identity()
            return resnet.eval().requires_grad_(False), 512
        if kind == "vit":
            small: dict[str, Any] = {
                "img_size": 28,
                "patch_size": 14,
                "embed_dim": 48,
                "depth": 2,
                "num_heads": 2,
            }
            return timm.create_model("vit_tiny_patch16_224", num_classes=0, **small).eval(), 48
        layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return nn.Sequential(*layers).requires_grad_(False), 8


def made(head: str, kinds: tuple[str, ...], score: str) -> tuple[Classifier, Unknown]:
    """A classifier of made networks, joined if several, and a head fitted on random features."""
    extractors, dimensions = [], 0
    for number, kind in enumerate(kinds):
        features, width = network(kind)
        preprocessing = Preprocessing(
            32 + 8 * number,
            28,
            28 if kind == "vit" else 32,
            ("bicubic", "bilinear")[number % 2],
            (0.4, 0.5, 0.6),
            (0.2, 0.3, 0.25),
        )
        engine = Engine(Backbone(kind, features, "", preprocessing, "", ""), "cpu", "float32")
        extractors.append(Extractor(features, engine, 2, "float16"))
        dimensions += width
    random = torch.rand(40, dimensions, generator=torch.Generator().manual_seed(0))
    examples = Examples(random, torch.arange(40) % 5)
    tensors = heads.load(head).fit(examples, 5, SETTINGS[head], 0)
    fitted = FittedHead(head, tensors, Calibration(1.3, 0.2, [0.1, 0.0, -0.1, 0.2, 0.0]), CLASSES)
    return Classifier(fitted, extractors), Unknown(score, 0.0, unit(random).half())


@pytest.mark.parametrize(
    ("head", "kinds", "score"),
    [
        ("linear", ("resnet18",), "max_logit"),
        ("knn", ("convolution",), "neighbours"),
        ("prototype", ("convolution", "convolution"), "energy"),
        ("mlp", ("convolution",), "max_probability"),
    ],
)
def test_both_runtimes_give_the_probabilities_of_the_pipeline(
    head: str, kinds: tuple[str, ...], score: str, tmp_path: Path
) -> None:
    classifier, unknown = made(head, kinds, score)
    properties = {"labels": CLASSES, "model": "made"}
    write(graph.Deployed(classifier, unknown), properties, tmp_path / "model.onnx")
    assert len(runtimes(tmp_path / "model.onnx")) == 2
    files = []
    for number, size in enumerate(SIZES):
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(files[-1])
    features = classifier.features_of_files(files)
    expected = pd.DataFrame(
        {
            "probabilities": list(classifier.head.probabilities(features).numpy()),
            "unknown_score": unknown.scores(classifier.head, features).numpy(),
            "label": 0,
        }
    )
    found = parity(tmp_path / "model.onnx", files, expected)
    assert list(found["pictures"]) == [len(SIZES)] * 2
    assert (found["different_top1"] == 0).all()
    assert (found["probability_difference"] < 2e-3).all()  # of noise, whose pixels differ by a level or two
    assert (found["score_difference"] < 0.05).all()
    content = (tmp_path / "model.onnx").read_bytes()
    assert str(Path(graph.__file__).parents[2]).encode() not in content
    model = onnx.load(tmp_path / "model.onnx")
    assert json.loads({each.key: each.value for each in model.metadata_props}["labels"]) == CLASSES
    shape = [each.dim_param or each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["height", "width", 3]

    wrong = expected.assign(probabilities=[each[::-1] for each in expected["probabilities"]])
    assert (parity(tmp_path / "model.onnx", files, wrong)["different_top1"] > 0).all()


@pytest.mark.parametrize(("kind", "products"), [("resnet18", 20), ("vit", 9)])
def test_int8_has_the_networks_products_and_nothing_else(kind: str, products: int, tmp_path: Path) -> None:
    """All of its convolutions and linear layers, but neither the resizing nor the head."""
    classifier, unknown = made("linear", (kind,), "max_logit")
    network = classifier.extractors[0].engine.network
    assert sum(isinstance(each, nn.Conv2d | nn.Linear) for each in network.modules()) == products
    float32, int8 = tmp_path / "model.onnx", tmp_path / "model.int8.onnx"
    write(graph.Deployed(classifier, unknown), {"labels": CLASSES}, float32)
    files = [tmp_path / f"{number}.png" for number in range(4)]
    for number, file in enumerate(files):
        coarse = np.random.default_rng(number).integers(0, 256, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((60, 40)).save(file)
    quantize(float32, files, int8)
    model = onnx.load(int8)
    weights = [
        each
        for each in model.graph.initializer
        if each.data_type == onnx.TensorProto.INT8 and len(each.dims) > 1
    ]
    assert len(weights) == products
    assert {each.key: each.value for each in model.metadata_props}["labels"] == json.dumps(CLASSES)
    pixels = np.asarray(Image.open(files[0]))
    for run, other in zip(runtimes(float32).values(), runtimes(int8).values(), strict=True):
        assert 0 < np.abs(run(pixels)[0] - other(pixels)[0]).max() < 0.1


def test_the_stage_exports_the_models_that_are_asked_for(finished: Workspace, tmp_path: Path) -> None:
    """And the code in the card, as it stands there, gives a test picture the class that evaluate gave it."""
    workspace = finished.copy(tmp_path / "workspace")
    unknown = f"export.models=[{{backbone: {BACKBONE}, head: mlp}}]"
    output = workspace.run("python", "-m", "stages.params", unknown, fails=True)
    assert output.count("\n") == 2
    assert output.endswith("\nparams.yaml is unchanged.\n")
    assert f"{BACKBONE} with mlp, which the run doesn't train" in output
    models = f"export.models=[{{backbone: {BACKBONE}, head: linear}}]"
    twice = models.replace("}]", f"}}, {{backbone: {BACKBONE}, head: linear}}]")
    output = workspace.run("python", "-m", "stages.params", twice, fails=True)
    assert "with linear twice; keep one" in output
    workspace.set_params(models, "export.pictures=12", "export.int8_images=8")
    assert stages_run(workspace.run("dvc", "repro")) == {"export@sample-model0"}
    workspace.set_params(models.replace("}]", f"}}, {{backbone: {BACKBONE}, head: prototype}}]"))
    assert set(json.loads(workspace.run("dvc", "status", "--json"))) == {"export@sample-model1"}
    folder = workspace.path / "exports/sample" / BACKBONE / "linear"
    described = read_json(workspace.path / "models/sample" / BACKBONE / "linear/head.json")
    # So are the pipeline's features on some processors; those of the file never are.
    rounded = described["embeddings"][BACKBONE]["precision"] == "bfloat16"
    rows = pd.DataFrame(read_json(folder / "parity.json"))
    assert (rows["pictures"] == 12).all()
    exact = rows[rows["file"] == "model.onnx"]
    assert len(exact) == 2
    assert (exact["different_top1"] == 0).all()
    assert (exact["gained"] == 0).all()
    assert (exact["lost"] == 0).all()
    assert (exact["probability_difference"] < (0.1 if rounded else 0.01)).all()
    int8 = rows[rows["file"] == "model.int8.onnx"]
    assert len(int8) == 2
    assert (int8["mebibytes"] < 0.4 * exact["mebibytes"].iloc[0]).all()
    assert (int8["different_top1"] <= 3).all()
    card = (folder / "README.md").read_text()
    assert "drawn by a program" in card
    evaluated = pd.read_parquet(
        workspace.path / "evaluations/sample" / BACKBONE / "linear" / "predictions.parquet"
    )
    metrics = read_json(workspace.path / "evaluations/sample" / BACKBONE / "linear" / "metrics.json")
    assert f"{100 * metrics['top1']:.1f}%" in card
    row = evaluated.iloc[3]
    picture = workspace.path / "data/sample/raw/images" / f"{row['image_id']}.jpg"
    (folder / "photo.jpg").write_bytes(picture.read_bytes())
    found = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert found is not None
    printed = Workspace(folder).run("python", "-c", found[1] + "\nprint(label, bool(unknown))")
    assert printed.split()[0] == row["predicted"]
    assert printed.split()[1] in ("True", "False")
