"""Turn every usable picture into one backbone's features; what was computed before is not computed again."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, TypeAdapter

from pets.backbones.build import build
from pets.core import params
from pets.core.files import locked
from pets.core.params import Section
from pets.core.progress import progress_bar
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.embeddings import reference, store
from pets.engines.choice import Name, choose
from pets.engines.cluster import Cluster
from pets.engines.device import Device, Precision
from pets.images.preprocessing import Preprocessing


class Settings(Section):
    """The section ``embed`` of params.yaml."""

    weights: Path
    device: Device
    engine: Name
    cluster: Annotated[str, Field(pattern=r"^(auto|\S+:\d+)$")] | None
    precision: Precision
    dtype: Literal["float16", "float32"]
    views: Literal[1, 2]


def main(dataset: str, backbone: str) -> None:
    """Bring data/<dataset>/embeddings/<backbone> up to the catalog.

    Joined, it has a folder for each part, which another backbone of the run may have computed, or may use.
    """
    settings = params.read("embed", Settings)
    data = Dataset(dataset)
    for part, folder in data.stores(backbone).items():
        with locked(data.folder / f".{part.replace('/', '-')}.lock"):
            embed(part, folder, data, settings)
    store.describe(data, backbone)


def embed(backbone: str, into: Path, data: Dataset, settings: Settings) -> None:
    """Bring the store ``into`` of one backbone's features up to the catalog."""
    usable, network = data.usable(), build(backbone, settings.weights)
    files = [data.raw / each for each in usable["path"]]
    wanted = settings.engine, network, settings.device, settings.precision, files
    engine = Cluster(settings.cluster, *wanted) if settings.cluster else choose(*wanted)
    preprocessing = TypeAdapter(Preprocessing)
    recipe = {
        "backbone": network.name,
        "weights_file": network.weights_file,
        "weights_sha256": network.weights_sha256,
        "layer": network.layer,
        "dimensions": network.dimensions,
        "preprocessing": preprocessing.dump_python(network.preprocessing, mode="json", exclude_defaults=True),
        "engine": engine.name,
        "precision": engine.precision,
        "views": settings.views,
        "dtype": settings.dtype,
    }

    def compute(images: pd.DataFrame) -> Iterator[np.ndarray]:
        files = [data.raw / path for path in images["path"]]
        with progress_bar(len(files), f"{backbone} on {engine.device_name}") as progress:
            for vectors in engine.vectors(files, settings.views, list(images["sha256"])):
                progress.update(len(vectors))
                yield vectors

    with tempfile.TemporaryDirectory() as folder:
        fixed = np.concatenate(list(engine.vectors(reference.write_pictures(Path(folder)), settings.views)))
    others = store.elsewhere(data, backbone)
    computed, stale = store.update(into, usable, recipe, engine.device_name, fixed, compute, others)
    if stale:
        print(f"everything is computed again: {stale}")
    print(f"{backbone}: {computed} images embedded, {len(usable) - computed} known before.")


if __name__ == "__main__":
    run_stage(main)
