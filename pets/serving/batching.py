"""Requests that come at the same time are computed together, and no more than a bound of them wait."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class BusyError(Exception):
    """As many requests wait as may."""


class Batcher(Generic[In, Out]):
    """Computes what is submitted, ``size`` at a time at most, in a thread; ``waiting`` may wait at most."""

    def __init__(self, compute: Callable[[Sequence[In]], Sequence[Out]], size: int, waiting: int) -> None:
        self.compute, self.size = compute, size
        self.queue: asyncio.Queue[tuple[In, asyncio.Future[Out]]] = asyncio.Queue(waiting)

    async def submit(self, item: In) -> Out:
        """The result for ``item``. Raises BusyError, and what the computation raises."""
        future: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        try:
            self.queue.put_nowait((item, future))
        except asyncio.QueueFull:
            raise BusyError from None
        return await future

    async def run(self) -> None:
        """Compute until cancelled."""
        while True:
            batch = [await self.queue.get()]
            while len(batch) < self.size and not self.queue.empty():
                batch.append(self.queue.get_nowait())
            try:
                results = await asyncio.to_thread(self.compute, [item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 (whatever it is, it is the requests')
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)
            del batch  # what was uploaded isn't kept until the next request
