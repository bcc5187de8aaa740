"""As many pictures at once as fit into memory."""

from collections.abc import Callable, Sequence

import torch

from pets.core.errors import UserError

# Of all pictures together on their canvas: an attack holds some twenty copies of it, of twelve bytes a pixel.
PIXELS = 1 << 22


def in_batches(
    sizes: Sequence[tuple[int, int]], batch_size: int, device: str, work: Callable[[list[int]], object]
) -> None:
    """Call ``work`` with indices of pictures of these ``sizes`` (height, width), batch by batch, in order.

    At most ``batch_size`` at once. Out of memory halves that and repeats the batch, so ``work`` must keep
    nothing of a batch before it has finished it. A picture larger than ``PIXELS`` comes alone.
    """
    most, done = batch_size, 0
    while done < len(sizes):
        batch = range(done, done + fitting(sizes[done:], most))
        try:
            work(list(batch))
        except RuntimeError as error:
            most = halved(error, len(batch), device)
        else:
            done = batch.stop


def fitting(sizes: Sequence[tuple[int, int]], most: int) -> int:
    """How many of the first pictures, at least one and at most ``most``, fit on a canvas of ``PIXELS``."""
    tallest = widest = 0
    for count, (height, width) in enumerate(sizes[:most]):
        tallest, widest = max(tallest, height), max(widest, width)
        if count and (count + 1) * tallest * widest > PIXELS:
            return count
    return min(len(sizes), most)


def halved(error: RuntimeError, images: int, device: str) -> int:
    """Half of the ``images`` that were too many for the memory; UserError if that was one.

    Raises any other error again.
    """
    if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
        raise error
    if images == 1:
        raise UserError(f"a single image does not fit into the memory of {device}.") from None
    if device == "cuda":
        torch.cuda.empty_cache()
    print(f"out of memory: continuing with {images // 2} images at a time")
    return images // 2
