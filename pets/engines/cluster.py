"""A backbone on many machines: pictures go to the workers of a Ray cluster, and their features come back.

The driver, which is the stage, reads the pictures and writes the features, so workers need neither its disk
nor DVC. Each holds one engine: one a GPU, or one for all cores of a machine without. A few chunks of pictures
are on their way to each worker at a time, so memory does not grow with their number. What a lost worker had
not answered goes to the others.
"""

import logging
import socket
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pets.backbones.base import Backbone
from pets.core.errors import UserError
from pets.engines.choice import COMPARED, Name, choose
from pets.engines.device import Device, Precision
from pets.images.batches import read

CHUNK = 64  # pictures that are sent to a worker at a time
TIMEOUT = 10  # seconds in which a cluster must answer
IN_FLIGHT = 2  # chunks at each worker: it computes one while the other arrives
PACKAGE = Path(__file__).parents[1]


class Cluster:
    """What `Engine` has of attributes and `Engine.vectors`, on the Ray cluster at ``address``, or "auto".

    Raises UserError where Ray is not installed, no cluster answers, it has neither cores nor GPUs, or its
    workers would differ in engine, precision or device.
    """

    def __init__(
        self,
        address: str,
        name: Name,
        backbone: Backbone,
        device: Device,
        precision: Precision,
        files: Sequence[Path],
    ) -> None:
        if find_spec("ray") is None:
            raise UserError("embed.cluster needs Ray, which is not installed: run `pip install ray`.")
        import ray

        packages = {"py_modules": [str(PACKAGE)]}
        try:
            if address != "auto":  # Ray itself would try for minutes
                host, _, port = address.removeprefix("ray://").rpartition(":")
                socket.create_connection((host, int(port)), TIMEOUT).close()
            ray.shutdown()  # of the part of a joined backbone that was before this one
            ray.init(address, runtime_env=packages, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"no Ray cluster answers at {address} ({str(error).splitlines()[0]}); start one as "
                "docs/many-machines.md says, or set embed.cluster: null in params.yaml."
            ) from None
        self._ray = ray
        first = ray.put([read(file) for file in files[:COMPARED]])
        network = ray.put(backbone)
        self._workers: list[Any] = [ray.remote(Worker).options(**place).remote() for place in _places(ray)]
        if not self._workers:
            raise UserError(f"the Ray cluster at {address} has neither CPUs nor GPUs; see `ray status`.")
        wanted = name, network, device, precision, first
        prepared = [(worker, worker.prepare.remote(*wanted)) for worker in self._workers]
        described = [each for worker, answer in prepared if (each := self._answer(worker, answer))]
        if len({*described}) != 1:
            raise UserError(
                f"the cluster's workers differ: {' and '.join(map(str, sorted({*described})))}; set "
                "embed.engine, embed.device and embed.precision in params.yaml to what all of them have."
            )
        self.name, self.precision, self.device_name = described[0]

    def vectors(
        self, pictures: Sequence[Path | bytes], views: int, checksums: Sequence[str] = ()
    ) -> Iterator[np.ndarray]:
        """See `Engine.vectors`; UserError once every worker is lost."""
        waiting = list(range(0, len(pictures), CHUNK))  # the first picture of each chunk
        idle = self._workers * IN_FLIGHT
        running: dict[Any, tuple[int, Any]] = {}
        answers: dict[int, np.ndarray] = {}
        following = 0
        while waiting or running:
            last = following + 2 * CHUNK * IN_FLIGHT * len(self._workers)
            while waiting and idle and waiting[0] < last:
                start, worker = waiting.pop(0), idle.pop(0)
                chunk = pictures[start : start + CHUNK]
                expected = checksums[start : start + CHUNK] or [""] * len(chunk)
                sent = [_bytes(*each) for each in zip(chunk, expected, strict=True)]
                running[worker.vectors.remote(sent, views)] = start, worker
            (answer, *_), _ = self._ray.wait(list(running))
            start, worker = running.pop(answer)
            vectors = self._answer(worker, answer)
            if vectors is None:
                waiting = sorted([start, *waiting])
                idle = [each for each in idle if each in self._workers]
            else:
                answers[start] = vectors
                idle.append(worker)
            while following in answers:
                yield answers[following]
                following += len(answers.pop(following))

    def _answer(self, worker: Any, answer: Any) -> Any:
        """What a worker answered, or None where it is lost; UserError if that was the last, or its own."""
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayActorError:
            if worker in self._workers:
                self._workers.remove(worker)
                print(f"a worker of the cluster is lost; workers left: {len(self._workers)}")
            if not self._workers:
                raise UserError("no worker of the cluster is left; see `ray status`.") from None
            return None
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise UserError(str(error.cause)) from None
            raise


def _bytes(picture: Path | bytes, sha256: str) -> bytes:
    return picture if isinstance(picture, bytes) else read(picture, sha256)


class Worker:
    """One engine, in a process of its own on a node of the cluster."""

    def prepare(
        self,
        name: Name,
        backbone: Backbone,
        device: Device,
        precision: Precision,
        pictures: Sequence[bytes],
    ) -> tuple[str, str, str]:
        """Choose the engine (see `choose`); returns its name, its precision and the name of its device."""
        self.engine = choose(name, backbone, device, precision, pictures)
        return self.engine.name, self.engine.precision, self.engine.device_name

    def vectors(self, pictures: list[bytes], views: int) -> np.ndarray:
        """Features [n, dimensions] of n pictures."""
        return np.concatenate(list(self.engine.vectors(pictures, views)))


def _places(ray: Any) -> Iterator[dict[str, Any]]:
    """The options of each worker: where it runs, and what it takes of that node."""
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        resources = node["Resources"]
        gpus = int(resources.get("GPU", 0))
        takes = [{"num_gpus": 1}] * gpus or [{"num_cpus": int(resources["CPU"])}] * ("CPU" in resources)
        yield from ({"scheduling_strategy": here, **each} for each in takes)
