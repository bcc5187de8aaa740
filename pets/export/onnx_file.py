"""The ONNX file: written, and run by the runtimes that people deploy it with."""

import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import torch
from onnxruntime import InferenceSession

from pets.core.progress import progress_bar
from pets.export.graph import Deployed
from pets.images.decoding import decode
from pets.metrics.paired import mcnemar_exact

OPSET = 20
TIE = 1e-4  # two classes whose probabilities differ by less may change places
Run = Callable[[np.ndarray], tuple[np.ndarray, float]]  # pixels to probabilities [classes], unknown score


def write(deployed: Deployed, properties: dict[str, Any], file: Path) -> None:
    """Write the graph with its weights; ``properties`` become its metadata, as text or as JSON.

    Input ``pixels``, uint8 [height, width, 3]; outputs ``probabilities`` [1, classes], ``unknown_score`` [1].
    """
    size = {0: torch.export.Dim("height", min=2), 1: torch.export.Dim("width", min=2)}
    pixels = torch.zeros(300, 200, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's own deprecations
        program = torch.onnx.export(
            deployed.eval(), (pixels,), dynamo=True, opset_version=OPSET, verbose=False,
            input_names=["pixels"], output_names=["probabilities", "unknown_score"],
            dynamic_shapes={"pixels": size},
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    for node in (*model.graph.node, *(node for each in model.functions for node in each.node)):
        del node.metadata_props[:]  # the exporter's stack traces, which name paths of this machine
    texts = {name: each if isinstance(each, str) else json.dumps(each) for name, each in properties.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, file)


def runtimes(file: Path) -> dict[str, Run]:
    """The file in ONNX Runtime and, where it is installed, OpenVINO, by name and version."""
    session = InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def onnx_runtime(pixels: np.ndarray) -> tuple[np.ndarray, float]:
        probabilities, score = session.run(None, {"pixels": pixels})
        return probabilities[0], float(score[0])

    found: dict[str, Run] = {f"onnxruntime {version('onnxruntime')}": onnx_runtime}
    if find_spec("openvino"):
        import openvino

        compiled = openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        def open_vino(pixels: np.ndarray) -> tuple[np.ndarray, float]:
            results = compiled(pixels)
            return results[0][0], float(results[1][0])

        found[f"openvino {version('openvino')}"] = open_vino
    return found


def parity(file: Path, pictures: Sequence[Path], expected: pd.DataFrame) -> pd.DataFrame:
    """A row for each runtime: how its results differ from those of `evaluate`, on the same ``pictures``.

    ``expected``: probabilities [classes], unknown_score and the label's index of each picture. Columns: file,
    mebibytes, runtime, pictures, different_top1 (ties left out), ties, probability_difference and
    score_difference, the largest; gained and lost, the pictures that the file alone or evaluate alone has
    right, with McNemar's p; and milliseconds, the median of a picture once it is decoded.
    """
    engines = runtimes(file)
    rows = []
    with progress_bar(len(engines) * len(expected), f"parity of {file.name}") as progress:
        for runtime, run in engines.items():  # one after the other: each keeps threads of its own
            each = pd.DataFrame(_differences(run, pictures, expected, progress.update))
            gained, lost = int((each["correct"] > 0).sum()), int((each["correct"] < 0).sum())
            rows.append(
                {
                    "file": file.name,
                    "mebibytes": round(file.stat().st_size / 2**20, 1),
                    "runtime": runtime,
                    "pictures": len(each),
                    "different_top1": int(each["different"].sum()),
                    "ties": int(each["tie"].sum()),
                    "probability_difference": float(each["probability"].max()),
                    "score_difference": float(each["score"].max()),
                    "gained": gained,
                    "lost": lost,
                    "p": mcnemar_exact(gained, lost),
                    "milliseconds": round(float(each["milliseconds"].median()), 1),
                }
            )
    return pd.DataFrame(rows)


def _differences(
    run: Run, pictures: Sequence[Path], expected: pd.DataFrame, done: Callable[[], object]
) -> Iterator[dict[str, float]]:
    for file, row in zip(pictures, expected.to_dict("records"), strict=True):
        pixels = decode(file.read_bytes()).pixels
        started = time.perf_counter()
        probabilities, score = run(pixels)
        seconds = time.perf_counter() - started
        wanted = np.asarray(row["probabilities"], dtype=np.float64)
        best, expected_best = int(probabilities.argmax()), int(wanted.argmax())
        tie = bool(wanted.max() - wanted[best] < TIE)
        yield {
            "different": best != expected_best and not tie,
            "tie": best != expected_best and tie,
            "probability": float(np.abs(probabilities - wanted).max()),
            "score": abs(score - row["unknown_score"]),
            "correct": int(best == row["label"]) - int(expected_best == row["label"]),
            "milliseconds": 1000 * seconds,
        }
        done()
