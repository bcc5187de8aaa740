"""Turn every usable picture into one backbone's features; what was computed before is not computed again."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from stages import params
from stages.backbones.base import Backbone
from stages.backbones.build import build
from stages.door import open_door
from stages.embeddings import store
from stages.engines import eager
from stages.engines.eager import Device, Engine, Precision
from stages.images import decoding, preprocessing
from stages.images.batches import batches
from stages.params import Section
from stages.progress import bar


class Settings(Section):
    """The section ``embed`` of params.yaml."""

    weights: Path
    device: Device
    precision: Precision
    dtype: Literal["float16", "float32"]
    views: Literal[1, 2]


def main(dataset: str, backbone: str) -> None:
    """Bring data/<dataset>/embeddings/<backbone> up to the catalog."""
    settings = params.read("embed", Settings)
    folder = Path("data", dataset)
    catalog = pd.read_parquet(folder / "catalog.parquet")
    usable = catalog[catalog["status"] == "ok"].reset_index(drop=True)
    network = build(backbone, settings.weights)
    engine = Engine(network, settings.device, settings.precision)

    def compute(images: pd.DataFrame) -> Iterator[np.ndarray]:
        files = [folder / "raw" / path for path in images["path"]]
        with bar(len(files), f"{backbone} on {engine.device_name}") as progress:
            for vectors in engine.run(
                batches(files, network.preprocessing, settings.views, engine.batch_size)
            ):
                progress.update(len(vectors))
                yield vectors

    computed = store.update(
        folder / "embeddings" / backbone,
        usable,
        recipe(network, engine, settings.views, settings.dtype),
        engine.device_name,
        settings.dtype,
        compute,
    )
    print(f"{computed} images embedded, {len(usable) - computed} known before.")


def recipe(network: Backbone, engine: Engine, views: int, dtype: str) -> dict[str, Any]:
    """All that a vector hangs on beside its image's bytes: if any of it changes, the vector is made anew."""
    return {
        "backbone": network.name,
        "weights_file": network.weights_file,
        "weights_sha256": network.weights_sha256,
        "layer": network.layer,
        "dimensions": network.dimensions,
        "preprocessing": {
            **{
                key: list(value) if isinstance(value, tuple) else value
                for key, value in asdict(network.preprocessing).items()
            },
            "decoding_version": decoding.VERSION,
            "version": preprocessing.VERSION,
        },
        "engine_version": eager.VERSION,
        "precision": engine.precision,
        "views": views,
        "dtype": dtype,
    }


if __name__ == "__main__":
    open_door(main)
