"""Write a model as one ONNX file, from pixels to probabilities, compared with evaluate; and its card."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from pets.core import params
from pets.core.files import atomic, write_json, write_text
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.export.export import export


def main(dataset: str, backbone: str, head: str) -> None:
    """Write exports/<dataset>/<backbone>/<head>: model.onnx, README.md (the card) and parity.json.

    And model.int8.onnx, if it is asked for.
    """
    pictures: Literal["all"] | int = params.read("export.pictures", Literal["all"] | PositiveInt)  # type: ignore[arg-type]
    int8_images = params.read("export.int8_images", NonNegativeInt)
    weights = params.read("embed.weights", Path)
    seed = params.read("seed", int)
    data = Dataset(dataset)
    with atomic(data.export(backbone, head)) as folder:
        folder.mkdir()
        compared, card = export(data, backbone, head, weights, pictures, int8_images, seed, folder)
        times = ["milliseconds"]  # printed alone: they differ from run to run, and outputs must not
        write_json(folder / "parity.json", compared.drop(columns=times).to_dict("records"))
        write_text(folder / "README.md", card)
    print(compared.to_string(index=False))


if __name__ == "__main__":
    run_stage(main)
