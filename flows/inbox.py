"""Name the class of every picture in a folder, as a deployment: each run embeds only the new pictures."""

import subprocess
import sys
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

COMMAND = [sys.executable, "-m", "pets.prediction.predict"]  # in a process of its own: it imports PyTorch
SHOWN = 200  # rows of the artifact: it is for a look, and the tables have all


@flow(name="predict")
def predict(photos: list[str], model: str | None = None, to: str = "predictions") -> State:
    """Predict the pictures of files, folders and archives into the folder ``to``.

    A table of them becomes an artifact. The run fails, with the reason as its message, where nothing can be
    predicted.
    """
    from pyarrow import parquet as pq

    logger = get_run_logger()
    process = subprocess.Popen(
        [*COMMAND, "--to", to, *(["--model", model] if model else []), "--", *photos],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    last = ""
    for line in process.stdout or ():
        if line.strip():
            logger.info("%s", last := line.strip())
    if process.wait():
        return Failed(message=last)
    columns = ["path", "label", "probability", "problem"]
    with pq.ParquetFile(Path(to, "predictions.parquet")) as table:
        total = table.metadata.num_rows
        batch = next(table.iter_batches(SHOWN, columns=columns))
    verdict = f"{total:,} pictures in {to}/" + (f", the first {SHOWN} here" if total > SHOWN else "")
    create_table_artifact(batch.to_pylist(), key="predictions", description=verdict)
    return Completed(message=f"{total:,} pictures, in {Path(to, 'index.html')}")
