"""Fit one head on cached features: hyperparameter and calibration by validation, then fit on all of it."""

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from stages import params
from stages.door import open_door
from stages.embeddings import store
from stages.errors import UserError
from stages.files import whole, write_json
from stages.heads.base import Examples, Trial
from stages.heads.calibration import Calibration, calibrate
from stages.heads.registry import HEADS


def main(dataset: str, backbone: str, head: str) -> None:
    """Write models/<dataset>/<backbone>/<head>: head.safetensors, head.json, and the validation curve."""
    method = HEADS[head]
    settings = params.read(f"train.{head}", method.Settings)
    seed = params.read("seed", int)
    data = Path("data", dataset)
    splits = pd.read_parquet(data / "splits.parquet")
    classes = sorted(splits["label"].unique())
    vectors = store.read(data / "embeddings" / backbone)

    train = examples(splits[splits["split"] == "train"], vectors, classes)
    validation = examples(splits[splits["split"] == "val"], vectors, classes)
    counts = np.bincount(train.labels.cpu(), minlength=len(classes))
    curve = []
    best: tuple[float, Trial, Calibration] | None = None
    for trial in method.trials(train, validation, len(classes), settings, seed):
        calibration = calibrate(trial.logits, validation.labels, counts)
        nll = calibration.nll(trial.logits, validation.labels)
        guess = calibration.log_probabilities(trial.logits).argmax(1)
        top1 = float((guess == validation.labels).float().mean())
        curve.append({"setting": trial.setting, "top1": top1, "nll": nll})
        print(f"{_text(trial.setting)}: validation top-1 {top1:.4f}, negative log-likelihood {nll:.4f}")
        if best is None or nll < best[0]:
            best = nll, trial, calibration
    if best is None:
        raise UserError(f"train.{head} in params.yaml leaves nothing to try on {len(train)} images.")
    _, chosen, calibration = best
    print(f"chosen: {_text(chosen.setting)}; temperature {calibration.temperature:.3f}")

    tensors = method.fit(train + validation, len(classes), chosen.setting, seed)
    with whole(Path("models", dataset, backbone, head)) as folder:
        folder.mkdir()
        on_cpu = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(on_cpu, folder / "head.safetensors")
        write_json(
            folder / "head.json",
            {
                "head": head,
                "classes": classes,
                "chosen": chosen.setting,
                "calibration": asdict(calibration),
                "settings": settings.model_dump(mode="json"),
                "seed": seed,
            },
        )
        _write_curve(folder / "validation.csv", curve, chosen.setting)


def examples(rows: pd.DataFrame, vectors: store.Store, classes: list[str]) -> Examples:
    """Features and labels of these rows of the splits, on a GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    labels = pd.Categorical(rows["label"], categories=classes).codes
    return Examples(
        torch.from_numpy(vectors.of(rows["image_id"])).to(device),
        torch.tensor(labels, dtype=torch.int64, device=device),
    )


def _text(setting: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in setting.items())


def _write_curve(file: Path, curve: list[dict[str, Any]], chosen: dict[str, Any]) -> None:
    """The curve for charts: what varies from trial to trial, and how each did."""
    varying = [name for name in chosen if len({str(each["setting"][name]) for each in curve}) > 1]
    parameter = (varying or list(chosen))[0]
    with file.open("w", newline="", encoding="utf-8") as target:
        rows = csv.writer(target, lineterminator="\n")
        rows.writerow(["parameter", "setting", "top1", "nll", "chosen"])
        for each in curve:
            setting = each["setting"]
            rows.writerow([parameter, setting[parameter], each["top1"], each["nll"], setting == chosen])


if __name__ == "__main__":
    open_door(main)
