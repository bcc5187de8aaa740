"""Write a model as one ONNX file, from pixels to probabilities, compared with evaluate; and its card."""

from pathlib import Path

from pets.core import params
from pets.core.files import atomic, write_json, write_text
from pets.core.stage import run_stage
from pets.dataset import Dataset
from pets.export.settings import Settings


def main(dataset: str, backbone: str, head: str) -> None:
    """Write exports/<dataset>/<backbone>/<head>: model.onnx, model.int8.onnx if asked
    for, README.md (the card) and parity.json.

    A model that is not in the list ``export.models`` gets a line instead that says so.
    """
    settings = params.read("export", Settings)
    weights = params.read("embed.weights", Path)
    seed = params.read("seed", int)
    for kind, at in (("backbones", 0), ("heads", 2)):
        params.check_names("export.models", kind, [each.rpartition("/")[at] for each in settings.models])
    data = Dataset(dataset)
    with atomic(data.export(backbone, head)) as folder:
        folder.mkdir()
        if f"{backbone}/{head}" not in settings.models:
            line = f"{backbone}/{head} is not in export.models of params.yaml."
            write_text(folder / "not-exported.txt", f"{line}\n")
            print(line)
            return
        # Imported here, because PyTorch takes seconds, and most models are not exported.
        from pets.export.export import export

        table, card = export(data, backbone, head, settings, weights, seed, folder)
        write_json(folder / "parity.json", table.to_dict("records"))
        write_text(folder / "README.md", card)
        print(table.to_string(index=False))


if __name__ == "__main__":
    run_stage(main)
