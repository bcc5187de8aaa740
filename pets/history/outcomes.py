"""What a combination's predictions come to on each test image, read once each from DVC's cache."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from dvc.repo import Repo

from pets.metrics.metrics import MIN_PROBABILITY

READ = ("predictions.parquet", "provenance.json", "scores.json")  # of each evaluation


class MissingError(Exception):
    """An output is not available or not as the pipeline writes it; the message says which and why."""


@dataclass(frozen=True)
class Outcomes:
    """Of each test image, its row in ``images`` (image_id, label): is the predicted class right, and the NLL.

    ``classes`` are sorted.
    """

    images: pd.DataFrame
    classes: tuple[str, ...]
    correct: np.ndarray  # bool [n]
    nll: np.ndarray  # nats [n]


class Outputs:
    """The outputs of any commit by md5, as far as DVC's cache has them."""

    def __init__(self, repo: Repo) -> None:
        self.unreachable = ""  # why what is missing could not be fetched
        self._cache = repo.cache.local
        self._images: dict[tuple[Any, ...], pd.DataFrame] = {}
        self._outcomes: dict[str, Outcomes | MissingError] = {}

    def path(self, md5: str) -> Path:
        """Where the cache has an output, or would have it."""
        return Path(self._cache.oid_to_path(md5))

    def missing(self, md5s: Iterable[str]) -> list[str]:
        """Those that the cache has not, once each."""
        return [md5 for md5 in dict.fromkeys(md5s) if not self.path(md5).exists()]

    def json(self, md5: str | None) -> Mapping[str, Any]:
        """A JSON file's content. Raises MissingError."""
        try:
            content: Mapping[str, Any] = json.loads(self._existing(md5).read_bytes())
        except (OSError, ValueError):
            raise MissingError(f"are damaged in DVC's cache ({md5})") from None
        return content

    def outcomes(self, predictions: str | None, provenance: str | None) -> Outcomes:
        """The outcomes of predictions.parquet, whose classes provenance.json has, read once.

        Raises MissingError.
        """
        key = str(predictions)
        if key not in self._outcomes:
            try:
                self._outcomes[key] = self._read(self._existing(predictions), self.json(provenance))
            except MissingError as error:
                self._outcomes[key] = error
        found = self._outcomes[key]
        if isinstance(found, MissingError):
            raise found
        return found

    def _existing(self, md5: str | None) -> Path:
        if md5 is None:
            raise MissingError("are not in its dvc.lock")
        if not self.path(md5).exists():
            reason = f", and {self.unreachable}" if self.unreachable else ""
            raise MissingError(f"are not in DVC's cache{reason}")
        return self.path(md5)

    def _read(self, file: Path, provenance: Mapping[str, Any]) -> Outcomes:
        try:
            classes = list(provenance["classes"])
            columns = ["image_id", "label", "predicted", "probabilities"]
            table = pq.read_table(file, columns=columns, use_threads=False)  # which a small file isn't worth
            images = self._once(table["image_id"].to_pylist(), table["label"].to_pylist())
            probabilities = table["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            codes = pd.Index(classes).get_indexer(images["label"])
            of_label = probabilities.reshape(-1, len(classes))[np.arange(len(codes)), codes].astype(float)
            correct = np.array(table["predicted"].to_pylist()) == np.array(table["label"].to_pylist())
        except (OSError, ValueError, KeyError, IndexError, TypeError, pa.ArrowException):
            raise MissingError(f"are damaged in DVC's cache ({file})") from None
        return Outcomes(
            images, tuple(sorted(classes)), correct, -np.log(np.maximum(of_label, MIN_PROBABILITY))
        )

    def _once(self, image_ids: list[str], labels: list[str]) -> pd.DataFrame:
        """The images, once in memory however many commits were tested on the same."""
        key = tuple(image_ids), tuple(labels)
        if key not in self._images:
            self._images[key] = pd.DataFrame({"image_id": image_ids, "label": labels})
        return self._images[key]
