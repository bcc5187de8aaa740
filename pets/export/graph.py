"""All that a model does to a picture as one graph of tensors, for any height and width.

What `pets.images.preprocessing` does by PyTorch's own resizing, which no ONNX operator equals, is two matrix
products here, whose matrices are made in the graph from the picture's size. They round to the 256 levels of
uint8 after each, as it does, and so differ from it by one or two levels in a few of a thousand pixels.
"""

import torch
from torch import nn

from pets.classifier.classifier import Classifier
from pets.classifier.unknown import SCORES, Unknown
from pets.embeddings.joining import join
from pets.images.preprocessing import Preprocessing


class Deployed(nn.Module):
    """Pixels, uint8 [height, width, 3], to probabilities [1, classes] and the unknown score [1]."""

    def __init__(self, classifier: Classifier, unknown: Unknown) -> None:
        super().__init__()
        self.networks = nn.ModuleList(each.engine.network for each in classifier.extractors)
        self.classifier, self.unknown = classifier, unknown

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both float32."""
        image = pixels.permute(2, 0, 1).float()
        blocks = []
        for network, extractor in zip(self.networks, self.classifier.extractors, strict=True):
            preprocessing = extractor.engine.preprocessing
            seen = views(image, preprocessing, extractor.views)
            features = [network(preprocessing.normalize(each / 255).unsqueeze(0)) for each in seen]
            mean = torch.stack(features).mean(0)
            blocks.append(mean.to(getattr(torch, extractor.dtype)).float())  # rounded as it is stored
        vector, head = join(blocks), self.classifier.head
        logits = head.uncalibrated(vector).double()
        scaled = logits / head.calibration.temperature
        score = SCORES[self.unknown.score](scaled, vector, self.unknown.memory)
        return head.calibration.log_probabilities(logits).exp().float(), score.float()


def views(image: torch.Tensor, preprocessing: Preprocessing, count: int) -> list[torch.Tensor]:
    """`Preprocessing.views` of an image [3, height, width] with whole numbers from 0 to 255 as floats."""
    found = [_geometry(image, preprocessing, preprocessing.resize, preprocessing.crop)]
    if count == 2:
        whole = preprocessing.whole
        found.append(_geometry(image.flip(-1), preprocessing, whole, whole))
    return found


def _geometry(image: torch.Tensor, preprocessing: Preprocessing, resize: int, crop: int) -> torch.Tensor:
    # Sizes as tensors: a graph that is exported may not compute with Python's numbers.
    rows, columns = _positions(image[0, :, 0]), _positions(image[0, 0, :])
    height, width = rows[-1] + 1, columns[-1] + 1
    short = torch.full_like(height, resize)
    long = torch.floor(resize * torch.maximum(height, width) / torch.minimum(height, width))
    if preprocessing.squash:
        long = short
    tall = torch.where(height <= width, short, long)
    wide = torch.where(height <= width, long, short)
    across = _resampling(columns, width, wide, crop, preprocessing.interpolation)
    down = _resampling(rows, height, tall, crop, preprocessing.interpolation)
    narrow = ((image @ across.T).clamp(0, 255) + 0.5).floor()
    return ((down @ narrow).clamp(0, 255) + 0.5).floor()


def _positions(line: torch.Tensor) -> torch.Tensor:
    """0, 1, 2 ... for each element, float64."""
    return torch.cumsum(torch.ones_like(line, dtype=torch.float64), 0) - 1


def _resampling(
    positions: torch.Tensor, length: torch.Tensor, resized: torch.Tensor, crop: int, interpolation: str
) -> torch.Tensor:
    """The matrix [crop, length] that resizes, with antialiasing as Pillow's, and centre-crops one side."""
    margin = torch.round((resized - crop) / 2)
    scale = length / resized
    centres = (margin + torch.arange(crop, dtype=torch.float64) + 0.5) * scale
    distances = (positions + 0.5 - centres.unsqueeze(1)) / scale.clamp(min=1)
    weights = _kernel(distances.abs(), interpolation)
    return (weights / weights.sum(1, keepdim=True)).float()


def _kernel(distance: torch.Tensor, interpolation: str) -> torch.Tensor:
    """The triangle, or Keys's cubic with a = -1/2 (Cubic convolution interpolation, 1981), as Pillow's."""
    if interpolation == "bilinear":
        return (1 - distance).clamp(min=0)
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = -0.5 * (((distance - 5) * distance + 8) * distance - 4)
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))
