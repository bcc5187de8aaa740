"""Try the adversarial pictures that were made on each backbone on all the others, under the same head."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from stages import params
from stages.attacks.epsilon import Epsilon
from stages.attacks.reread import save
from stages.attacks.victim import load
from stages.door import open_door
from stages.embeddings import store
from stages.engines.eager import Device
from stages.files import whole, write_json
from stages.images.decoding import decode
from stages.images.preprocessing import to_tensor
from stages.progress import bar
from stages.scores.metrics import wilson

NOISE = "random noise"  # the control: every pixel moved as far as an attack may, in a random direction


def main(dataset: str, head: str) -> None:
    """Write transfers/<dataset>/<head>."""
    backbones = params.read("run.backbones", list[str])
    epsilon: float = params.read("attack.transfer.epsilon", Epsilon)
    seed = params.read("seed", int)
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    data = Path("data", dataset)
    folders = {name: Path("attacks", dataset, name, head, "transfer") for name in backbones}
    image_ids = sorted(file.stem for file in folders[backbones[0]].glob("*.png"))
    paths = pd.read_parquet(data / "catalog.parquet").set_index("image_id")["path"][image_ids]
    labels = pd.read_parquet(data / "splits.parquet").set_index("image_id")["label"][image_ids]
    originals = [data / "raw" / path for path in paths]

    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        bar((len(backbones) + 2) * len(backbones) * len(image_ids), "transfer") as progress,
    ):
        sources = {name: [folders[name] / f"{each}.png" for each in image_ids] for name in backbones} | {
            NOISE: noisy(originals, epsilon, seed, Path(folder))
        }
        for target in backbones:
            card = store.read(data / "embeddings" / target).card
            victim = load(Path("models", dataset, target, head), target, weights, device, card)
            truth = pd.Categorical(labels, categories=victim.classes).codes
            right = victim.read(originals).argmax(1).numpy() == truth
            progress.update(len(originals))
            for source, files in sources.items():
                fooled = right & (victim.read(files).argmax(1).numpy() != truth)
                shares = share(int(fooled.sum()), int(right.sum()))
                rows.append({"source": source, "target": target, "epsilon": epsilon, **shares})
                progress.update(len(files))
    matrix = pd.DataFrame(rows)
    with whole(Path("transfers", dataset, head)) as temporary:
        temporary.mkdir()
        matrix.to_csv(temporary / "matrix.csv", index=False, lineterminator="\n")
        write_json(
            temporary / "metrics.json",
            {
                source: {row.target: row.fooled for row in each.itertuples() if row.images}
                for source, each in matrix.groupby("source", sort=False)
            },
        )
    for row in matrix.itertuples():
        print(f"made on {row.source}, tried on {row.target}: {row.fooled:.3f} of {row.images} fooled")


def noisy(originals: list[Path], epsilon: float, seed: int, folder: Path) -> list[Path]:
    """The pictures with each value moved by plus or minus ``epsilon``, saved in ``folder``."""
    generator = torch.Generator().manual_seed(seed)
    files = []
    for number, file in enumerate(originals):
        picture = to_tensor(decode(file.read_bytes()).pixels).float() / 255
        signs = torch.randint(0, 2, picture.shape, generator=generator) * 2 - 1
        files.append(folder / f"{number}.png")
        save((picture + epsilon * signs).clamp(0, 1), files[-1])
    return files


def share(fooled: int, images: int) -> dict[str, float]:
    """The share of images fooled with its 95% interval, of the images that were read rightly before."""
    if not images:
        return {"images": 0, "fooled": float("nan"), "low": float("nan"), "high": float("nan")}
    low, high = wilson(np.array([fooled]), np.array([images]))
    return {"images": images, "fooled": fooled / images, "low": float(low[0]), "high": float(high[0])}


if __name__ == "__main__":
    open_door(main)
