"""Turn every usable picture into one backbone's features; what was computed before is not computed again."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pets.backbones.build import build
from pets.core import params
from pets.core.files import locked
from pets.core.params import Section
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.embeddings import store
from pets.embeddings.outliers import write_outliers
from pets.embeddings.updating import update
from pets.engines.choice import COMPARED, Name, choose
from pets.engines.cluster import Cluster
from pets.engines.device import Device, Precision


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
    Some of the vectors go to outliers/, for the models of other data sets.
    """
    settings = params.read("embed", Settings)
    data = Dataset(dataset)
    for part, folder in data.stores(backbone).items():
        with locked(data.folder / f".{part.replace('/', '-')}.lock"):
            embed(part, folder, data, settings)
    store.describe(data, backbone)
    write_outliers(data, backbone)


def embed(backbone: str, into: Path, data: Dataset, settings: Settings) -> None:
    """Bring the store ``into`` of one backbone's features up to the catalog."""
    usable, network = data.usable(), build(backbone, settings.weights, data.name)
    first = [data.raw / path for path in usable["path"].head(COMPARED)]
    wanted = settings.engine, network, settings.device, settings.precision, first
    engine = Cluster(settings.cluster, *wanted) if settings.cluster else choose(*wanted)
    others = store.elsewhere(data, backbone)
    computed, stale = update(into, usable, data.raw, network, engine, settings.views, settings.dtype, others)
    if stale:
        print(f"everything is computed again: {stale}")
    print(f"{backbone}: {computed} images embedded, {len(usable) - computed} known before.")


if __name__ == "__main__":
    run_stage(main)
