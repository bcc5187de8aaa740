"""Name the class of every picture in files, folders and archives, by a trained model.

Results go to a folder: predictions.parquet and predictions.csv, a row for each picture, and index.html. A
picture that was embedded before for the same folder is not embedded again.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import torch
from pyarrow import parquet as pq

from pets import catalog
from pets.backbones.build import build
from pets.classifier.classifier import checked
from pets.classifier.fitted_head import FittedHead, load_head
from pets.classifier.unknown import Unknown, load_unknown
from pets.core import params
from pets.core.files import atomic, locked
from pets.core.progress import progress_bar
from pets.core.stage import errors_reported
from pets.dataset import OK
from pets.embeddings import store
from pets.embeddings.joining import join
from pets.embeddings.updating import update
from pets.engines.choice import ENGINES
from pets.engines.device import Device
from pets.prediction import models, page
from pets.prediction.arguments import parser
from pets.prediction.models import Model
from pets.prediction.naming import TOP, Named, name_pictures
from pets.prediction.pictures import list_pictures
from pets.prediction.similar import Neighbours, training_pictures

SIMILAR = 3  # training pictures shown beside each
ROWS = 2048  # pictures whose features are in memory at a time
COLUMNS = [
    ("path", pa.large_string()),
    ("sha256", pa.large_string()),
    ("problem", pa.large_string()),
    ("label", pa.large_string()),
    ("probability", pa.float64()),
    ("unknown", pa.bool_()),
    ("unknown_score", pa.float64()),
    ("species", pa.large_string()),
    ("labels", pa.list_(pa.large_string())),
    ("probabilities", pa.list_(pa.float64())),
    ("similar", pa.list_(pa.large_string())),
]
SCHEMA = pa.schema(COLUMNS)


def predict(places: Sequence[Path], name: str | None, into: Path) -> None:
    """Write the results into the folder ``into``. UserError where nothing can be predicted."""
    model = models.find(name)
    into.mkdir(parents=True, exist_ok=True)
    with locked(into / ".lock"):
        pictures = list_pictures(places, into.absolute() / ".archives")
        table = into / ".catalog.parquet"
        with progress_bar(len(pictures), "decode") as progress:
            catalog.update(table, places[0], pictures, progress.update)
        rows = pd.read_parquet(table, columns=["image_id", "path", "sha256", "status"])
        embed(model, rows[rows["status"] == OK], into / ".features")
        neighbours = training_pictures(model.dataset, model.backbone)
        if neighbours is None:
            print("The training pictures are not here, so no similar ones are shown.")
        parts = [store.read(into / ".features" / part) for part in model.described["embeddings"]]
        head, unknown = load_head(model.folder), load_unknown(model.folder)
        write(into, model, chunks(head, unknown, parts, rows, model.described["species"], neighbours))
        files = dict(zip(rows["image_id"], map(Path, rows["path"]), strict=True))
        page.write(into, model, files, neighbours.files if neighbours else {})
    usable, odd = int((rows["status"] == OK).sum()), count_unknown(into)
    print(f"{usable} of {len(rows)} pictures were classified by {model.name}; {odd} look unknown to it.")
    for row in rows[rows["status"] != OK].head(5).itertuples():
        print(f"  left out: {row.image_id}: {row.status}")
    print(f"Open {into / 'index.html'}; the table is {into / 'predictions.csv'}.")


def embed(model: Model, usable: pd.DataFrame, into: Path) -> None:
    """Bring the features of these pictures up to date, made as those that the head was fitted on."""
    weights = params.read("embed.weights", Path)
    device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
    for part, recipe in model.described["embeddings"].items():
        network = checked(build(part, weights, model.dataset), recipe, model.folder)
        engine = ENGINES[recipe["engine"]](network, device, recipe["precision"])
        computed, _ = update(into / part, usable, Path(), network, engine, recipe["views"], recipe["dtype"])
        print(f"{part}: {computed} pictures embedded, {len(usable) - computed} known before.")


def count_unknown(into: Path) -> int:
    """How many pictures in the results are of no class that the model knows."""
    called: Any = pq.read_table(into / "predictions.parquet", columns=["unknown"])["unknown"]
    return sum(each is True for each in called.to_pylist())


def chunks(
    head: FittedHead,
    unknown: Unknown,
    parts: Sequence[store.Store],
    rows: pd.DataFrame,
    species: dict[str, str | None],
    neighbours: Neighbours | None,
) -> Iterator[pd.DataFrame]:
    """The rows of the results, some at a time, in the order of the catalog's ``rows``."""
    for start in range(0, len(rows), ROWS):
        some = rows.iloc[start : start + ROWS]
        table = pd.DataFrame({name: None for name, _ in COLUMNS}, index=some.index, dtype=object)
        table["path"], table["sha256"] = some["image_id"], some["sha256"]
        table["problem"] = some["status"].where(some["status"] != OK, None)
        usable = some.index[some["status"] == OK]
        if len(usable):
            image_ids = list(some.loc[usable, "image_id"])
            features = join([torch.from_numpy(each.vectors_of(image_ids)) for each in parts])
            named = name_pictures(head, unknown, species, features)
            for field in fields(Named):
                values = [getattr(each, field.name) for each in named]
                table.loc[usable, field.name] = pd.Series(values, index=usable, dtype=object)
            similar = neighbours.nearest(features, SIMILAR) if neighbours else [[] for _ in named]
            table.loc[usable, "similar"] = pd.Series(similar, index=usable, dtype=object)
        yield table


def write(into: Path, model: Model, tables: Iterator[pd.DataFrame]) -> None:
    """Both tables; the Parquet one names the model in its metadata."""
    metadata = {"model": model.name, "head_sha256": model.sha256}
    with (
        atomic(into / "predictions.parquet") as columns,
        atomic(into / "predictions.csv") as lines,
        pq.ParquetWriter(columns, SCHEMA.with_metadata(metadata)) as writer,
        lines.open("w", encoding="utf-8", newline="") as text,
    ):
        for number, table in enumerate(tables):
            writer.write_table(pa.Table.from_pandas(table, SCHEMA, preserve_index=False))
            flat(table).to_csv(text, index=False, header=number == 0, lineterminator="\n")


def flat(table: pd.DataFrame) -> pd.DataFrame:
    """A column for each of the top classes and its probability, in place of lists."""
    columns = table[["path", "sha256", "problem", "species", "unknown", "unknown_score"]].copy()
    for place in range(TOP):
        for name, lists in (("label", "labels"), ("probability", "probabilities")):
            columns[f"{name}_{place + 1}"] = [
                each[place] if isinstance(each, list) and place < len(each) else None for each in table[lists]
            ]
    return columns


def main(words: Sequence[str]) -> None:
    """The command line, which is that of `flows.predict`."""
    options = parser().parse_args(words)
    with errors_reported("predict"):
        predict(options.photos, options.model, options.to)


if __name__ == "__main__":
    main(sys.argv[1:])
