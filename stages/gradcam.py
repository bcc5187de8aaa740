"""Which region decided: Grad-CAM on a head's surest mistakes, for what was guessed and for the truth."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pydantic import NonNegativeInt

from stages import params
from stages.attacks import victim as victims
from stages.attacks.victim import Victim
from stages.door import open_door
from stages.embeddings import store
from stages.engines.eager import Device
from stages.files import read_json, whole
from stages.galleries import figures
from stages.galleries.figures import Figure, Tile, percent
from stages.galleries.heat import over
from stages.images.batches import batches
from stages.insights.gradcam import gradcam, last_that_counts
from stages.params import Section

BATCH = 8


class Settings(Section):
    """The section ``gradcam`` of params.yaml."""

    mistakes: NonNegativeInt


def main(dataset: str, backbone: str, head: str) -> None:
    """Write gradcams/<dataset>/<backbone>/<head>."""
    settings = params.read("gradcam", Settings)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    data = Path("data", dataset)
    origin = read_json(data / "origin.json")
    of = f"{dataset}{' (drawn pets, not photographs)' if origin['drawn'] else ''}"
    card = store.read(data / "embeddings" / backbone).card
    victim = victims.load(Path("models", dataset, backbone, head), backbone, weights, device, card)
    mistakes = surest_mistakes(
        Path("evaluations", dataset, backbone, head, "predictions.parquet"), data, settings.mistakes
    )
    layer, tiles = explained(victim, mistakes, data / "raw")
    with whole(Path("gradcams", dataset, backbone, head)) as folder:
        figures.write(
            folder,
            [
                Figure(
                    "mistakes",
                    f"Where {backbone} and the {head} head looked as they were wrong",
                    f"Grad-CAM (Selvaraju et al., 2017) on the surest mistakes among the test images of "
                    f"{of}: the picture as the network sees it, and what spoke for the guess and for the "
                    f"truth by raising its score, before softmax, at the maps of {layer}. Yellow raised it "
                    "most; each map is scaled to its own largest value, and all dark means that nothing "
                    "raised the score." + views(victim) + stand_in(victim),
                    tiles,
                    columns=6,
                )
            ],
        )
    print(f"{len(mistakes)} mistakes explained at {layer}.")


def surest_mistakes(predictions: Path, data: Path, most: int) -> pd.DataFrame:
    """The wrong guesses with the highest probability, the surest first, with the paths of their pictures."""
    table = pd.read_parquet(predictions)
    catalog = pd.read_parquet(data / "catalog.parquet", columns=["image_id", "path"])
    wrong = table[~table["correct"]].merge(catalog, on="image_id")
    return wrong.sort_values(["probability", "image_id"], ascending=[False, True]).head(most)


def explained(victim: Victim, mistakes: pd.DataFrame, raw: Path) -> tuple[str, list[Tile]]:
    """The layer looked at, and for each mistake three tiles: picture, what spoke for guess, and for truth."""
    network, preprocessing = victim.engine.network, victim.engine.preprocessing
    probe = victim.probe.smooth()

    def score(
        features: torch.Tensor,
    ) -> torch.Tensor:  # before softmax, which would speak of all other classes
        return probe.head.logits(probe.tensors, features.cpu())

    layer = last_that_counts(network, preprocessing.crop)
    files = [raw / path for path in mistakes["path"]]
    rows = mistakes.to_dict("records")
    tiles: list[Tile] = []
    for (images,) in batches(files, preprocessing, 1, BATCH):
        part = rows[len(tiles) // 3 :][: len(images)]
        normalized = preprocessing.normalize(images.to(victim.engine.device).float() / 255)
        heats = {}
        for column in ("predicted", "label"):
            classes = torch.tensor([victim.classes.index(row[column]) for row in part])
            heats[column] = gradcam(network, layer, score, normalized, classes)
        for at, row in enumerate(part):
            picture = np.ascontiguousarray(images[at].permute(1, 2, 0).numpy())
            guess, truth = (str(row[column]).replace("_", " ") for column in ("predicted", "label"))
            of_truth = float(row["probabilities"][victim.classes.index(row["label"])])
            tiles += [
                Tile(picture, [truth, str(row["image_id"])]),
                Tile(
                    over(picture, heats["predicted"][at].cpu().numpy()),
                    [f"for {guess}", f"guessed, {percent(row['probability'])}"],
                ),
                Tile(
                    over(picture, heats["label"][at].cpu().numpy()),
                    [f"for {truth}", f"the truth, {percent(of_truth)}"],
                ),
            ]
    return layer, tiles


def views(victim: Victim) -> str:
    """The caption's sentence where the maps and the probabilities don't speak of the same pixels."""
    if victim.views == 1:
        return ""
    return f" A map is of one view, the one that is shown; the probability is that of {victim.views} views."


def stand_in(victim: Victim) -> str:
    """The caption's sentence where the head has no slope of its own."""
    if not victim.probe.has_stand_in:
        return ""
    return " This head has no useful gradient: a smooth stand-in's score is explained in its place."


if __name__ == "__main__":
    open_door(main)
