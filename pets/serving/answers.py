"""What the page and the API answer for a picture: its class, what else it may be, and why."""

import base64
import io
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import BaseModel

from pets.classifier.classifier import load
from pets.classifier.unknown import load_unknown
from pets.engines.device import Device
from pets.galleries.heatmap import overlay
from pets.images.batches import batches
from pets.images.thumbnails import thumbnail
from pets.prediction.models import Model
from pets.prediction.naming import name_pictures
from pets.prediction.predict import SIMILAR
from pets.prediction.similar import training_pictures
from pets.visualization.gradcam import Explainer

BATCH = 4  # pictures on a CPU: more are not faster, and answered later


class Class(BaseModel):
    """One class and its calibrated probability."""

    label: str
    probability: float


class Similar(BaseModel):
    """A training picture with similar features; ``picture`` is a JPEG as a data: address."""

    image_id: str
    picture: str


class Prediction(BaseModel):
    """What a picture shows; ``unknown``: it looks like no class; ``classes``: the most likely five."""

    label: str
    probability: float
    species: str | None
    unknown: bool
    unknown_score: float
    threshold: float
    classes: list[Class]
    similar: list[Similar]


class Explanation(BaseModel):
    """Where the picture speaks for ``label``, by Grad-CAM, over the crop that the network sees."""

    label: str
    picture: str


class Answers:
    """A model, ready. Raises UserError where its weights are not here, or others."""

    def __init__(self, model: Model, weights: Path, device: Device) -> None:
        described = model.described
        self.model = model
        self.lock = threading.Lock()  # Grad-CAM puts hooks on the networks that predictions run
        self.classifier = load(model.folder, weights, device, "float32")
        self.unknown = load_unknown(model.folder)
        self.species: dict[str, str | None] = described["species"]
        self.neighbours = training_pictures(model.dataset, model.backbone)
        self.explainer = Explainer(self.classifier)
        black = _jpeg(np.zeros((64, 64, 3), np.uint8))
        # An engine may convert the network on first use of a batch's size, which on a CPU varies.
        for size in range(1, BATCH + 1) if self.classifier.device == "cpu" else (1,):
            self.predict([black] * size)

    @property
    def batch_size(self) -> int:
        """How many pictures are computed at once, at most."""
        return BATCH if self.classifier.device == "cpu" else self.classifier.batch_size

    def predict(self, pictures: Sequence[bytes]) -> list[Prediction]:
        """Of pictures that can be decoded, read as `embed` reads them."""
        with self.lock:
            return self._predict(pictures)

    def _predict(self, pictures: Sequence[bytes]) -> list[Prediction]:
        if self.classifier.device == "cpu":  # a batch is not filled up: that would take as long as a full one
            for each in self.classifier.extractors:
                each.engine.batch_size = len(pictures)
        features = self.classifier.features_of_files(pictures)
        named = name_pictures(self.classifier.head, self.unknown, self.species, features)
        similar = self.neighbours.nearest(features, SIMILAR) if self.neighbours else [[] for _ in named]
        return [
            Prediction(
                label=each.label,
                probability=each.probability,
                species=each.species,
                unknown=each.unknown,
                unknown_score=each.unknown_score,
                threshold=self.unknown.threshold,
                classes=[
                    Class(label=label, probability=probability)
                    for label, probability in zip(each.labels, each.probabilities, strict=True)
                ],
                similar=[Similar(image_id=image_id, picture=self._similar(image_id)) for image_id in beside],
            )
            for each, beside in zip(named, similar, strict=True)
        ]

    def explain(self, pictures: Sequence[bytes]) -> list[Explanation]:
        """Grad-CAM of each picture's most likely class."""
        ((crops,),) = batches(pictures, self.explainer.preprocessing, 1, len(pictures))
        with self.lock:
            labels = [each.label for each in self._predict(pictures)]
            maps = self.explainer.heat(crops, labels)
        found = []
        for label, crop, heat in zip(labels, crops, maps, strict=True):
            shown = overlay(np.ascontiguousarray(crop.permute(1, 2, 0).numpy()), heat)
            found.append(Explanation(label=label, picture=_data(_jpeg(shown))))
        return found

    @lru_cache(maxsize=4096)  # noqa: B019 (there is one of it, for as long as the process runs)
    def _similar(self, image_id: str) -> str:
        assert self.neighbours is not None
        return _data(thumbnail(self.neighbours.files[image_id].read_bytes()))


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def _data(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
