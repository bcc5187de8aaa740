"""A served model's latency at 1, 8 and 32 clients, and its exported file against PyTorch, all in one run.

The model is made here: EfficientNet-Lite0 and a linear head fitted on synthetic pets. Images a second through
the server are beside those of the engine alone, on the same pictures in batches of the server's size.
"""

import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import uvicorn

from bench.workspace import ROOT
from pets.core import params
from pets.core.files import read_json
from pets.dataset import Dataset
from pets.export.graph import Deployed
from pets.export.int8 import quantize
from pets.export.onnx_file import runtimes, write
from pets.images.decoding import decode
from pets.prediction.models import find
from pets.serving.answers import Answers
from pets.serving.app import make_app
from stages import catalog, download, embed, split, train

DATASET, BACKBONE, HEAD = "sample", "efficientnet_lite0", "linear"
REQUESTS = 96
CLIENTS = (1, 8, 32)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
        params.override(
            [
                f"run.datasets=[{DATASET}]", f"run.backbones=[{BACKBONE}]", f"run.heads=[{HEAD}]",
                "datasets.sample.per_breed=6", "embed.views=1",
            ]
        )  # fmt: skip
        for stage in (download, catalog, split):
            stage.main(DATASET)
        embed.main(DATASET, BACKBONE)
        train.main(DATASET, BACKBONE, HEAD)
        answers = Answers(find(None), ROOT / "weights", "cpu")
        data = Dataset(DATASET)
        files = [data.raw / path for path in data.shuffled("test", 7)["path"]]
        pictures = [file.read_bytes() for file in files]
        pictures = (pictures * (REQUESTS // len(pictures) + 1))[:REQUESTS]
        _serve(answers, pictures)
        _exported(answers, files[:32], data)
        os.chdir(ROOT)


def _serve(answers: Answers, pictures: list[bytes]) -> None:
    engine = answers.classifier.extractors[0].engine
    engine.batch_size = answers.batch_size
    alone = _rate(lambda: engine.embed(pictures, 1, "float16"), len(pictures))
    print(f"{'engine alone':28}{alone:8.1f} images/s")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:  # as it serves
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(make_app(answers), log_level="warning"))
        thread = threading.Thread(target=server.run, args=[[listening]])
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/api/predict"

        client = httpx.Client(headers={"Content-Type": "image/jpeg"}, timeout=60)

        def ask(picture: bytes) -> float:
            started = time.perf_counter()
            answer = client.post(address, content=picture)
            answer.raise_for_status()
            return time.perf_counter() - started

        ask(pictures[0])
        for clients in CLIENTS:
            with ThreadPoolExecutor(clients) as pool:
                started = time.perf_counter()
                latencies = sorted(pool.map(ask, pictures))
                rate = len(pictures) / (time.perf_counter() - started)
            median, slow = statistics.median(latencies), latencies[int(0.95 * len(latencies))]
            print(
                f"{f'served, {clients} clients':28}{rate:8.1f} images/s {rate / alone:6.2f}x   median "
                f"{1000 * median:.0f} ms, 95% within {1000 * slow:.0f} ms"
            )
        server.should_exit = True
        thread.join()


def _exported(answers: Answers, files: list[Path], data: Dataset) -> None:
    described = read_json(data.model(BACKBONE, HEAD) / "head.json")
    write(Deployed(answers.classifier, answers.unknown), {"labels": described["classes"]}, Path("model.onnx"))
    pictures = [file.read_bytes() for file in files]
    decoded: list[np.ndarray] = [decode(each).pixels for each in pictures]
    pytorch = _rate(lambda: [answers.predict([each]) for each in pictures], len(pictures))
    print(f"{'pipeline, PyTorch':28}{pytorch:8.1f} images/s, one by one, decoding included")
    quantize(Path("model.onnx"), files, Path("model.int8.onnx"))
    for file in (Path("model.onnx"), Path("model.int8.onnx")):
        for name, run in runtimes(file).items():
            rate = _rate(lambda run=run: [run(each) for each in decoded], len(decoded))  # type: ignore[misc]
            print(f"{name:28}{rate:8.1f} images/s {rate / pytorch:6.2f}x, {file}, one by one, decoded before")
        print(f"{file} has {file.stat().st_size / 2**20:.1f} MiB")


def _rate(function: Callable[[], object], images: int) -> float:
    """Images a second, the median of three runs after a warm-up."""
    times = []
    for _ in range(4):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return images / statistics.median(times[1:])
