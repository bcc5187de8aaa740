"""Write a model as one ONNX file, from decoded pixels to probabilities, proved equal, with its model card."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt

from pets.core import params
from pets.core.files import atomic, write_json, write_text
from pets.core.params import Run, Section
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.prediction.models import best_of


class Settings(Section):
    """The section ``export`` of params.yaml."""

    models: Literal["best"] | list[str]
    pictures: Literal["all"] | NonNegativeInt


def main(dataset: str, backbone: str, head: str) -> None:
    """Write exports/<dataset>/<backbone>/<head>: model.onnx, README.md (its card) and parity.json."""
    settings = params.read("export", Settings)
    run = params.read("run", Run)
    data, name = Dataset(dataset), f"{backbone}/{head}"
    best = best_of(dataset, run.backbones, run.heads)
    wanted = [f"{best.backbone}/{best.head}"] if settings.models == "best" else settings.models
    with atomic(data.export(backbone, head)) as folder:
        folder.mkdir()
        if name not in wanted:
            reason = (
                f"{name} is not exported: export.models in params.yaml is for {', '.join(wanted) or 'none'}."
            )
            write_text(folder / "not-exported.txt", f"{reason}\n")
            print(reason)
            return
        # Imported here, because PyTorch takes seconds and most models are not exported.
        from pets.export.export import export

        seed = params.read("seed", int)
        weights = params.read("embed.weights", Path)
        most = None if settings.pictures == "all" else settings.pictures
        table, card = export(data, backbone, head, weights, most, seed, folder / "model.onnx")
        write_json(folder / "parity.json", table.to_dict("records"))
        write_text(folder / "README.md", card)
        print(table.to_string(index=False))


if __name__ == "__main__":
    run_stage(main)
