"""Pictures from disk to batches of uint8 tensors, decoded ahead of the network by a few threads."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import torch

from pets.core.errors import UserError
from pets.images.decoding import UndecodableError, decode
from pets.images.preprocessing import Preprocessing, to_tensor


def batches(
    pictures: Sequence[Path | bytes],
    preprocessing: Preprocessing,
    views: int,
    size: int,
    checksums: Sequence[str] = (),
) -> Iterator[list[torch.Tensor]]:
    """Yield a list of views, each uint8 [size, 3, side, side], in the order of ``pictures``.

    The last batch may be shorter. ``pictures`` are files, or their bytes; ``checksums``, if any, are the
    files' sha256 (see `read`).

    Two batches are decoded ahead, so memory does not grow with the number of files. Raises UserError at a
    picture that can't be decoded although the catalog could.
    """
    remaining = iter(zip(pictures, checksums or [""] * len(pictures), strict=True))
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:

        def start(count: int) -> list[Future[list[torch.Tensor]]]:
            return [pool.submit(_load, *each, preprocessing, views) for each in islice(remaining, count)]

        ahead = deque(start(3 * size))
        while ahead:
            batch = [ahead.popleft().result() for _ in range(min(size, len(ahead)))]
            ahead.extend(start(len(batch)))
            yield [_stack(view) for view in zip(*batch, strict=True)]


def _stack(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """A batch [n, 3, height, width] whose channels lie together, as decoded, so that rows are copied."""
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)


def read(file: Path, sha256: str = "") -> bytes:
    """A picture's bytes; UserError where it is gone or, with a ``sha256``, where its bytes have changed."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{file} was there when it was cataloged, and is gone; run `dvc repro`.") from None
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{file} has changed since it was cataloged; run `dvc repro`.")
    return data


def _load(picture: Path | bytes, sha256: str, preprocessing: Preprocessing, views: int) -> list[torch.Tensor]:
    data = picture if isinstance(picture, bytes) else read(picture, sha256)
    try:
        pixels = decode(data).pixels
    except UndecodableError as error:
        name = "a picture" if isinstance(picture, bytes) else picture
        raise UserError(
            f"{name} could be decoded when it was cataloged, and can't be now ({error}); run `dvc repro`."
        ) from None
    return preprocessing.views(to_tensor(pixels), views)
