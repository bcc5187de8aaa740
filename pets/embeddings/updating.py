"""Pictures to one backbone's stored features: what an engine computes, and only where the store lacks it."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from pets.backbones.base import Backbone
from pets.core.progress import progress_bar
from pets.embeddings import reference, store
from pets.engines.cluster import Cluster
from pets.engines.pytorch import Engine
from pets.images.preprocessing import Preprocessing


def update(
    into: Path,
    images: pd.DataFrame,
    folder: Path,
    network: Backbone,
    engine: Engine | Cluster,
    views: int,
    dtype: str,
    others: Iterable[Path] = (),
) -> tuple[int, str]:
    """Make the store ``into`` hold the features of exactly ``images``: image_id, sha256, path in ``folder``.

    What ``others``, stores of the same backbone, have is not computed again. Returns what `store.update`
    returns.
    """
    preprocessing = TypeAdapter(Preprocessing)
    recipe: dict[str, Any] = {
        "backbone": network.name,
        "weights_file": network.weights_file,
        "weights_sha256": network.weights_sha256,
        "layer": network.layer,
        "dimensions": network.dimensions,
        "preprocessing": preprocessing.dump_python(network.preprocessing, mode="json", exclude_defaults=True),
        "engine": engine.name,
        "precision": engine.precision,
        "views": views,
        "dtype": dtype,
    }

    def compute(missing: pd.DataFrame) -> Iterator[np.ndarray]:
        with progress_bar(len(missing), f"{network.name} on {engine.device_name}") as progress:
            files = [folder / path for path in missing["path"]]
            for vectors in engine.vectors(files, views, list(missing["sha256"])):
                progress.update(len(vectors))
                yield vectors

    with tempfile.TemporaryDirectory() as temporary:
        fixed = np.concatenate(list(engine.vectors(reference.write_pictures(Path(temporary)), views)))
    return store.update(into, images, recipe, engine.device_name, fixed, compute, others)
