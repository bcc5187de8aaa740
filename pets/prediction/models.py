"""Which trained model predicts. Without PyTorch, so that a mistyped name is reported at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pets.core.errors import UserError, nearest
from pets.core.files import checksum, read_json

MODELS = Path("models")
NEEDED = ("head.json", "head.safetensors", "unknown.safetensors", "validation.csv")


@dataclass(frozen=True)
class Model:
    """A fitted head's folder; ``name`` is ``<data set>/<backbone>/<head>``."""

    name: str
    folder: Path

    @property
    def dataset(self) -> str:
        """The data set that it was fitted on."""
        return self.name.split("/", 1)[0]

    @property
    def backbone(self) -> str:
        """Its backbone, or several joined."""
        return self.name.split("/", 1)[1].rpartition("/")[0]

    @property
    def sha256(self) -> str:
        """The checksum of the head's tensors."""
        return checksum(self.folder / "head.safetensors")

    @property
    def described(self) -> dict[str, Any]:
        """What `pets.classifier.fitted_head` wrote of it: classes, label_name, species, embeddings ..."""
        content: dict[str, Any] = read_json(self.folder / "head.json")
        return content

    @property
    def validation_score(self) -> tuple[float, float]:
        """Top-1 and minus NLL on the validation images: higher is better."""
        table = pd.read_csv(self.folder / "validation.csv")
        chosen = table[table["chosen"].astype(str).str.lower() == "true"].iloc[0]
        return float(chosen["top1"]), -float(chosen["nll"])


def find(name: str | None) -> Model:
    """The model of that name, or the only one, or of several the best on its validation images.

    UserError where there is none of that name, or where there are models of several data sets and no name.
    """
    files = sorted(MODELS.rglob("head.json"))
    named = {file.parent.relative_to(MODELS).as_posix(): file.parent for file in files}
    models = {each: Model(each, folder) for each, folder in named.items()}
    if not models:
        raise UserError(
            f"there is no trained model in {MODELS}/; `dvc repro train` makes one, `dvc pull train` gets "
            "those of a remote."
        )
    if name is not None:
        if name not in models:
            raise UserError(f"there is no model '{name}' in {MODELS}/; {nearest(name, models)}")
        return _complete(models[name])
    datasets = sorted({each.name.split("/")[0] for each in models.values()})
    if len(datasets) > 1:
        raise UserError(
            f"there are models of {', '.join(datasets)}; say which, such as --model {next(iter(models))}."
        )
    return max(map(_complete, models.values()), key=lambda each: each.validation_score)


def _complete(model: Model) -> Model:
    missing = [each for each in NEEDED if not (model.folder / each).exists()]
    if missing:
        what = ", ".join(missing)
        raise UserError(f"{model.folder} lacks {what}; run `dvc repro train`, or `dvc pull train`.")
    if not {"dataset", "embeddings", "unknown"} <= set(model.described):
        raise UserError(f"{model.folder} is of an earlier version; run `dvc repro train`.")
    return model
