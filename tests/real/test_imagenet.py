"""That a backbone is fed the way it was trained: ImageNet photographs, by embed's own decoding and engine."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pets.backbones.build import build
from pets.engines.device import Precision, resolve_precision
from pets.engines.pytorch import Engine
from pets.images.batches import batches


@pytest.fixture(scope="module")
def photographs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("imagenet")
    with tarfile.open(shared / "imagenet-check.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return sorted(folder.rglob("*.jpg"))


def embed(name: str, files: list[Path], precision: Precision, views: int = 1) -> torch.Tensor:
    engine = Engine(build(name, Path("weights")), "cpu", precision)
    images = batches(files, engine.preprocessing, views, engine.batch_size)
    return torch.from_numpy(np.concatenate(list(engine.run(images))))


def top1(name: str, features: torch.Tensor, files: list[Path]) -> float:
    imagenet = build(name, Path("weights")).imagenet
    assert isinstance(imagenet, nn.Sequential)
    classifier = imagenet[-1]
    truth = torch.tensor([int(file.name.split("_")[0]) for file in files])
    return float((classifier(features).argmax(1) == truth).float().mean())


@pytest.mark.parametrize(
    ("name", "least"),
    [("efficientnet_lite0", 0.88), ("efficientnet_lite1", 0.89), ("efficientnet_lite2", 0.90)],
)
def test_names_the_photographs(name: str, least: float, photographs: list[Path]) -> None:
    full = embed(name, photographs, "float32")
    assert top1(name, full, photographs) >= least
    native = resolve_precision("auto", "cpu") == "bfloat16"  # elsewhere slow, and emulated ten times slower
    some = slice(None, None, None if native else 10)
    half = embed(name, photographs[some], "bfloat16")
    assert torch.nn.functional.cosine_similarity(full[some], half).mean() >= 0.999
    if native:
        assert top1(name, half, photographs) >= least


def test_two_views_are_no_worse(photographs: list[Path]) -> None:
    features = embed("efficientnet_lite0", photographs, "float32", views=2)
    assert top1("efficientnet_lite0", features, photographs) >= 0.88
