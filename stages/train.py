"""Fit one head on cached features: hyperparameters, calibration and what counts as unknown by validation."""

from pets import heads
from pets.classifier.examples import classes_of, examples_of
from pets.classifier.training import train
from pets.core import params
from pets.core.files import atomic
from pets.core.stage import run_stage
from pets.dataset import Dataset, species_of
from pets.embeddings import store
from pets.engines.device import Device, resolve_device


def main(dataset: str, backbone: str, head: str) -> None:
    """Write models/<dataset>/<backbone>/<head>: the head, what it calls unknown, the validation curve."""
    settings = params.read(f"train.{head}", heads.load(head).Settings)
    seed = params.read("seed", int)
    device = resolve_device(params.read("embed.device", Device))  # type: ignore[arg-type]
    data = Dataset(dataset)
    training, validation = (examples_of(data, backbone, split, device) for split in ("train", "val"))
    trained = train(head, training, validation, classes_of(data), settings, seed)
    origin, species = data.origin(), species_of(data.splits(), trained.head.classes).astype(object)
    with atomic(data.model(backbone, head)) as folder:
        folder.mkdir()
        trained.head.save(
            folder,
            chosen=trained.setting,
            unknown=trained.unknown.save(folder),
            settings=settings.model_dump(mode="json"),
            seed=seed,
            dataset=dataset,
            label_name=origin["label_name"],
            synthetic=origin["synthetic"],
            species=species.where(species.notna(), None).to_dict(),
            embeddings=store.recipes(data, backbone),
        )
        trained.curve.to_csv(folder / "validation.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    run_stage(main)
