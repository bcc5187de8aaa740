"""How well a model tells pictures of no class that it knows, of other data sets and of classes left out."""

from pydantic import Field, PositiveInt

from pets.classifier.examples import examples_of
from pets.classifier.fitted_head import load_head
from pets.classifier.open_set import measure
from pets.classifier.unknown import load_unknown
from pets.core import params
from pets.core.files import atomic, read_json
from pets.core.names import frozen_twin
from pets.core.params import Section
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.embeddings.outliers import read_outliers


class Settings(Section):
    """The section ``unknown`` of params.yaml."""

    groups: int = Field(ge=2)
    bootstrap: PositiveInt


def main(dataset: str, backbone: str, head: str) -> None:
    """Write unknown/<dataset>/<backbone>/<head>: auroc.csv, classes.csv, histogram.csv."""
    settings = params.read("unknown", Settings)
    others = [each for each in params.read("run.datasets", list[str]) if each != dataset]
    if frozen_twin(backbone):
        others = []  # their vectors are of the networks that were fine-tuned on them
        print(f"{backbone} was fine-tuned with all labels: expect less of classes that it has never seen.")
    seed = params.read("seed", int)
    data = Dataset(dataset)
    train, validation, test = (
        examples_of(data, backbone, split, "cpu") for split in ("train", "val", "test")
    )
    model = data.model(backbone, head)
    fitted, unknown = load_head(model), load_unknown(model)
    setting = read_json(model / "head.json")["chosen"]
    measured = measure(
        fitted, unknown, setting, train + validation, test,
        read_outliers(backbone, others), settings.groups, settings.bootstrap, seed,
    )  # fmt: skip
    with atomic(data.unknown(backbone, head)) as folder:
        folder.mkdir()
        for name in ("auroc", "classes", "histogram"):
            table = getattr(measured, name)
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
    chosen = measured.auroc[measured.auroc["chosen"]].drop(columns="chosen")
    print(chosen.to_string(index=False, float_format="{:.4f}".format))


if __name__ == "__main__":
    run_stage(main)
