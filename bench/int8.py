"""What int8 gives embed: OpenVINO's network quantized by NNCF beside the precision that embed takes.

Parity with PyTorch in float32, images a second from file to vector, and the linear head's test accuracy on
the features of each, compared in pairs. The network is calibrated on training images.
"""

import io
import os
import subprocess
import tempfile
import time
from contextlib import chdir, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest

from bench.embedding import BACKBONE, PETS
from bench.workspace import clone
from pets.backbones.build import build
from pets.classifier.examples import classes_of
from pets.classifier.training import train
from pets.core import params
from pets.core.files import checksum
from pets.dataset import Dataset
from pets.engines.choice import similarity
from pets.engines.openvino import OpenVino
from pets.heads import Examples, linear
from pets.images.batches import batches

CALIBRATING = 300  # training images; NNCF's default
COMPARED = 300  # images whose features are compared with float32's


def main() -> None:
    if missing := [name for name in ("nncf", "openvino") if not find_spec(name)]:
        print(f"int8: left out, {missing[0]} is not installed (`pip install {missing[0]}`)")
        return
    if not PETS.exists():
        print(f"int8: left out, {PETS.parent} is not there")
        return
    with tempfile.TemporaryDirectory() as scratch:
        entries = []
        for name in ("images", "annotations"):
            file = PETS.with_name(f"{name}.tar.gz")
            entry = f"datasets.oxford-iiit-pet.{name}"
            entries += [f"{entry}.url={file}", f"{entry}.md5={checksum(file, 'md5')}"]
        workspace = Path(scratch, "workspace")
        clone(workspace, "run.datasets=[oxford-iiit-pet]", *entries)
        subprocess.run(["dvc", "repro", "-q", "split"], cwd=workspace, check=True)
        with chdir(workspace):
            compare(Dataset("oxford-iiit-pet"))


def compare(data: Dataset) -> None:
    """Print both networks' figures, and how the predictions differ."""
    images = data.splits().merge(data.catalog("image_id", "path"), on="image_id").sort_values("image_id")
    files = [data.raw / path for path in images["path"]]
    backbone = build(BACKBONE, Path("weights"))
    training = images["split"].eq("train").to_numpy().nonzero()[0]
    calibrating = [files[row] for row in training[:: len(training) // CALIBRATING]]
    correct = []
    whole, quantized = OpenVino(backbone, "cpu", "auto"), Quantized(backbone, calibrating)
    for precision, engine in ((whole.precision, whole), ("int8", quantized)):
        mean, least = similarity(engine, backbone, files[:COMPARED])
        start = time.perf_counter()
        features = engine.embed(files, 1, "float16")
        rate = len(files) / (time.perf_counter() - start)
        correct.append(predicted_right(data, images, features))
        print(
            f"embed, openvino, {precision:9} {rate:6.1f} images a second; top-1 {correct[-1].mean():.4f}; "
            f"cosine with float32 {mean:.4f}, at worst {least:.4f}"
        )
    gained, lost = (correct[1] & ~correct[0]).sum(), (correct[0] & ~correct[1]).sum()
    p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    print(f"int8 gains {gained} and loses {lost} of {len(correct[0])} test images; McNemar's exact p {p:.3f}")


def predicted_right(data: Dataset, images: pd.DataFrame, features: torch.Tensor) -> np.ndarray:
    """For each test image, whether a linear head trained on these features is right."""
    classes = classes_of(data)
    labels = torch.tensor(pd.Categorical(images["label"], categories=classes).codes, dtype=torch.int64)
    splits = {
        name: torch.from_numpy(images["split"].eq(name).to_numpy()) for name in ("train", "val", "test")
    }
    training, validation, test = (Examples(features[rows], labels[rows]) for rows in splits.values())
    settings = params.read("train.linear", linear.Settings)
    with redirect_stdout(io.StringIO()):
        head = train("linear", training, validation, classes, settings, params.read("seed", int)).head
    return (head.probabilities(test.features).argmax(1) == test.labels).numpy()


class Quantized(OpenVino):
    """OpenVINO's network with weights and activations of 8 bits, and what is left in bfloat16 or float32."""

    def __init__(self, backbone: Any, calibrating: list[Path]) -> None:
        super().__init__(backbone, "cpu", "auto")
        self.calibrating = calibrating

    def convert(self, images: torch.Tensor) -> Any:
        os.environ["NNCF_CI"] = "1"  # else it reports its use to its makers
        nncf = import_module("nncf")
        read = batches(self.calibrating, self.preprocessing, 1, self.batch_size)
        views = [self.padded(view).permute(0, 2, 3, 1).contiguous().numpy() for [view] in read]
        return nncf.quantize(super().convert(images), nncf.Dataset(views), subset_size=len(views))


if __name__ == "__main__":
    main()
