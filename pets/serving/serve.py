"""Serve a trained model on this machine: a page to drop a photo on, and a JSON API."""

import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn

from pets.core import params
from pets.core.errors import UserError
from pets.core.stage import errors_reported
from pets.engines.device import Device
from pets.prediction import models
from pets.serving.answers import Answers
from pets.serving.app import make_app
from pets.serving.arguments import parser

LOOPBACK = "127.0.0.1"


def serve(name: str | None, port: int) -> None:
    """Until Ctrl-C. UserError where there is no such model, or the port is taken."""
    model = models.find(name)
    # The protocol by name: only then does asyncio turn off Nagle's algorithm, which delays answers by 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise UserError(f"port {port} can't be used ({error}); give another by --port.") from None
        device: Device = params.read("embed.device", Device)  # type: ignore[arg-type]
        answers = Answers(model, params.read("embed.weights", Path), device)
        if answers.neighbours is None:
            print("The training pictures are not here, so no similar ones are shown.")
        listening.listen()  # so that whoever reads the address can connect
        address = f"http://{LOOPBACK}:{listening.getsockname()[1]}"
        print(f"{model.name} is at {address} until Ctrl-C; only this machine can reach it.", flush=True)
        config = uvicorn.Config(make_app(answers), log_level="warning", timeout_graceful_shutdown=1)
        with suppress(KeyboardInterrupt):  # which uvicorn raises again once it has shut down
            uvicorn.Server(config).run([listening])


def main(words: Sequence[str]) -> None:
    """The command line, which is that of `flows.serve`."""
    options = parser().parse_args(words)
    with errors_reported("serve"):
        serve(options.model, options.port)


if __name__ == "__main__":
    main(sys.argv[1:])
