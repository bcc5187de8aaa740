"""Pictures from disk to batches of uint8 tensors, decoded ahead of the network by a few threads."""

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
    files: Sequence[Path], preprocessing: Preprocessing, views: int, size: int
) -> Iterator[list[torch.Tensor]]:
    """Yield a list of views, each uint8 [size, 3, side, side], in the order of ``files``.

    The last batch may be shorter.

    Two batches are decoded ahead, so memory does not grow with the number of files. Raises UserError at a
    picture that can't be decoded although the catalog could.
    """
    remaining = iter(files)
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        ahead: deque[Future[list[torch.Tensor]]] = deque()
        ahead.extend(pool.submit(_load, file, preprocessing, views) for file in islice(remaining, 3 * size))
        while ahead:
            batch = [ahead.popleft().result() for _ in range(min(size, len(ahead)))]
            ahead.extend(
                pool.submit(_load, file, preprocessing, views) for file in islice(remaining, len(batch))
            )
            yield [torch.stack(view) for view in zip(*batch, strict=True)]


def _load(file: Path, preprocessing: Preprocessing, views: int) -> list[torch.Tensor]:
    try:
        pixels = decode(file.read_bytes()).pixels
    except (UndecodableError, FileNotFoundError) as error:
        raise UserError(
            f"{file} could be decoded when it was cataloged, and can't be now ({error}); run `dvc repro`."
        ) from None
    return preprocessing.views(to_tensor(pixels), views)
