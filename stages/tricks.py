"""Measure training tricks on cached features, each alone and each left out of all together."""

from pydantic import Field, PositiveInt

from pets.classifier.examples import classes_of, examples_of
from pets.core import params
from pets.core.files import atomic
from pets.core.params import Section
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.engines.device import Device, resolve_device
from pets.heads import Examples
from pets.tricks.catalogue import listed
from pets.tricks.experiment import Experiment
from pets.tricks.training import Data, Plan, some_of


class Settings(Section):
    """The section ``tricks`` of params.yaml."""

    recipes: str | list[str]
    seeds: int = Field(ge=2)
    epochs: int = Field(ge=2)
    batch_size: PositiveInt
    hidden: PositiveInt
    images: int = Field(ge=2)


def main(dataset: str, backbone: str) -> None:
    """Write tricks/<dataset>/<backbone>/: runs.csv, effects.csv and curves.csv (see `Experiment`)."""
    settings = params.read("tricks", Settings)
    tricks = listed(settings.recipes)
    seed = params.read("seed", int)
    device = resolve_device(params.read("embed.device", Device))  # type: ignore[arg-type]
    data = Dataset(dataset)

    def examples(split: str) -> Examples:
        return some_of(examples_of(data, backbone, split, device), settings.images, seed)

    plan = Plan(settings.epochs, settings.batch_size, settings.hidden, seed)
    splits = Data(examples("train"), examples("val"), examples("test"), len(classes_of(data)))
    experiment = Experiment(tricks, splits, plan, settings.seeds)
    experiment.run()
    with atomic(data.tricks(backbone)) as folder:
        folder.mkdir()
        for name in ("runs", "effects", "curves"):
            table = getattr(experiment, name)()
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
    for row in experiment.effects().itertuples():
        print(f"{row.network} {row.trick}, added to {row.added_to}: {row.effect:+.4f}")


if __name__ == "__main__":
    run_stage(main)
