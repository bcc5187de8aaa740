"""Measure one head's accuracy against the number of training images of each class, from cached features."""

from pydantic import Field, PositiveInt

from pets import heads
from pets.classifier.examples import classes_of, examples_of
from pets.core import params
from pets.core.files import atomic
from pets.core.names import frozen_twin
from pets.core.params import Section
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.engines.device import Device, resolve_device
from pets.learning_curve import learning_curve


class Settings(Section):
    """The section ``curve`` of params.yaml."""

    images: list[PositiveInt] = Field(min_length=1)
    draws: PositiveInt


def main(dataset: str, backbone: str, head: str) -> None:
    """Write curves/<dataset>/<backbone>/<head>.csv, a row for each number of images and draw."""
    settings = params.read("curve", Settings)
    of_head = params.read(f"train.{head}", heads.load(head).Settings)
    seed = params.read("seed", int)
    device = resolve_device(params.read("embed.device", Device))  # type: ignore[arg-type]
    data = Dataset(dataset)
    train, validation, test = (
        examples_of(data, backbone, split, device) for split in ("train", "val", "test")
    )
    if frozen_twin(backbone):
        print(f"{backbone} was fine-tuned with all training labels: expect less of a network that was not.")
    curve = learning_curve(
        heads.load(head), train, validation, test,
        len(classes_of(data)), of_head, sorted(set(settings.images)), settings.draws, seed,
    )  # fmt: skip
    with atomic(data.curve(backbone, head)) as file:
        curve.to_csv(file, index=False, lineterminator="\n")
    for images, rows in curve.groupby("images_per_class"):
        print(f"{images:g} images of each class: top-1 {rows['top1'].mean():.4f}, mean of {len(rows)}")


if __name__ == "__main__":
    run_stage(main)
