"""A server of archives on loopback that misbehaves as a test asks."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pets.sources.archives import Archive

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``content``, or what ``contents`` has for a path; ``plan`` is how requests are answered, then
    ``always``.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = CONTENT
        self.contents: dict[str, bytes] = {}
        self.plan: list[Callable[[Answer], None]] = []
        self.always: Callable[[Answer], None] = Answer.serve
        self.ranges: list[str | None] = []  # the Range of every request
        self.bytes_served = 0
        self.closing = threading.Event()

    def url(self, name: str = "images.tar.gz") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data/{name}"

    def archive(self, name: str = "images.tar.gz", content: bytes = CONTENT) -> Archive:
        return Archive(url=self.url(name), md5=md5(content))


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers["Range"])
        answer = self.server.plan.pop(0) if self.server.plan else self.server.always
        answer(self)

    def log_message(self, *_: object) -> None:
        pass

    def serve(self, most: int | None = None, ranges: bool = True, shift: int = 0, **headers: str) -> None:
        content = self.server.contents.get(self.path, self.server.content)
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and ranges else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin = max(start - shift, 0) if start else 0
        body = content[begin:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.server.bytes_served += len(body[:most])
        self.wfile.write(body[:most])

    def refuse(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def pause(self) -> None:
        time.sleep(0.3)
        self.serve()

    def stall(self) -> None:
        self.serve(most=1000)
        self.wfile.flush()
        self.server.closing.wait(30)


def cut(most: int, **options: Any) -> Callable[[Answer], None]:
    return lambda answer: answer.serve(most, **options)


def status(code: int, **headers: str) -> Callable[[Answer], None]:
    return lambda answer: answer.refuse(code, **headers)


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.closing.set()
        running.shutdown()
        thread.join()
