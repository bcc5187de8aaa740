"""A head's metrics on the test images without those that `audit` suspects."""

import pandas as pd
from pydantic import PositiveInt

from pets.audit.without import leaked, mislabelled, without_each
from pets.core import params
from pets.core.files import atomic
from pets.core.stage import run_stage
from pets.dataset import Dataset


def main(dataset: str, backbone: str, head: str) -> None:
    """Write without_suspects/<dataset>/<backbone>/<head>.csv (see `without_each`)."""
    samples = params.read("evaluate.bootstrap", PositiveInt)
    seed = params.read("seed", int)
    data = Dataset(dataset)
    suspects = pd.read_csv(
        data.suspects(backbone) / "audit.csv", dtype={"image_id": str, "other": str}, keep_default_na=False
    )
    predictions = pd.read_parquet(data.evaluation(backbone, head) / "predictions.parquet")
    leaks, wrong = leaked(suspects), mislabelled(suspects)
    sets = {"none": set(), "leaked images": leaks, "suspected labels": wrong, "both": leaks | wrong}
    classes = sorted(data.splits()["label"].unique())
    metrics = without_each(predictions, classes, sets, samples, seed)
    with atomic(data.without_suspects(backbone, head)) as file:
        metrics.to_csv(file, index=False, lineterminator="\n", float_format="%.6f")
    left_out = metrics.groupby("without")["left_out"].first()
    print(", ".join(f"{left_out[name]} {name}" for name in list(sets)[1:3]), "among the test images")


if __name__ == "__main__":
    run_stage(main)
