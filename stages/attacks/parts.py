"""As many pictures at once as fit into memory."""

from collections.abc import Callable, Sequence

from stages.engines.eager import Engine, halved

# Of all pictures together on their canvas: an attack holds some twenty copies of it, of twelve bytes a pixel.
PIXELS = 1 << 22


def in_parts(sizes: Sequence[tuple[int, int]], engine: Engine, work: Callable[[list[int]], object]) -> None:
    """Call ``work`` with the numbers of pictures of these ``sizes`` (height, width), part by part, in order.

    At most the engine's batch at once. Out of memory halves that and tries the part again, so ``work`` keeps
    nothing of a part before it is done with it. A picture larger than ``PIXELS`` comes alone.
    """
    most, done = engine.batch_size, 0
    while done < len(sizes):
        part = range(done, done + fitting(sizes[done:], most))
        try:
            work(list(part))
        except RuntimeError as error:
            most = halved(error, len(part), engine.device)
        else:
            done = part.stop


def fitting(sizes: Sequence[tuple[int, int]], most: int) -> int:
    """How many of the first pictures, at least one and at most ``most``, fit on a canvas of ``PIXELS``."""
    tallest = widest = 0
    for count, (height, width) in enumerate(sizes[:most]):
        tallest, widest = max(tallest, height), max(widest, width)
        if count and (count + 1) * tallest * widest > PIXELS:
            return count
    return min(len(sizes), most)
