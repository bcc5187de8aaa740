"""The page and the API: what is accepted, what is refused, and what is answered.

A picture is the body of a POST request, of a type (image/...) that no page of another site can send without
being asked by the browser first. It is held in memory for as long as it is answered, and nowhere else.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from PIL import Image
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from pets.galleries.figures import display_name
from pets.images.decoding import UndecodableError, decode
from pets.report.evaluation import plural
from pets.report.templates import render_page
from pets.serving.answers import Answers, Explanation, Prediction
from pets.serving.batching import Batcher, BusyError

MEBIBYTES = 20  # of an upload
PIXELS = 50_000_000  # of a picture
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # Pillow runs a program for some others
UPLOADS = 32  # that are held at a time; more wait without being read
DECODED = 2  # at a time: each may take a gigabyte for a moment
SECONDS = 20  # for an upload to arrive
WAITING = 256  # requests that wait for the network
Answer = TypeVar("Answer")
BODY = {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "required": True}
REFUSED = {
    408: "the upload took too long",
    413: "too many bytes or pixels",
    415: "the body is no picture",
    422: "the picture can't be decoded",
    503: "too many requests wait",
}


def make_app(answers: Answers) -> FastAPI:
    """The application of one model."""
    predictions = Batcher(answers.predict, answers.batch_size, WAITING)
    explanations = Batcher(answers.explain, 1, WAITING)

    @asynccontextmanager
    async def computing(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(predictions.run()), asyncio.create_task(explanations.run())]
        yield
        for task in tasks:
            task.cancel()

    # FastAPI's own pages of documentation load their scripts from another host: the page describes the API.
    app = FastAPI(title="Pets", version="1", lifespan=computing, docs_url=None, redoc_url=None)
    # A name that another site lets point here (DNS rebinding) is refused.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1"])
    app.state.uploads, app.state.decoding = asyncio.Semaphore(UPLOADS), asyncio.Semaphore(DECODED)
    html = _page(answers)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return html

    described = {code: {"description": text} for code, text in REFUSED.items()}
    options = {"responses": described, "openapi_extra": {"requestBody": BODY}}

    @app.post("/api/predict", summary="The class of a picture", **options)  # type: ignore[arg-type]
    async def predict(picture: Annotated[bytes, Depends(uploaded)]) -> Prediction:
        return await _computed(predictions, picture)

    @app.post("/api/gradcam", summary="Where the picture speaks for its class", **options)  # type: ignore[arg-type]
    async def gradcam(picture: Annotated[bytes, Depends(uploaded)]) -> Explanation:
        return await _computed(explanations, picture)

    return app


async def _computed(batcher: Batcher[bytes, Answer], picture: bytes) -> Answer:
    try:
        return await batcher.submit(picture)
    except BusyError:
        text = f"{WAITING} pictures are waiting already; try again in some seconds."
        raise HTTPException(503, text, {"Retry-After": "5"}) from None


async def uploaded(request: Request) -> bytes:
    """The picture in the request's body; HTTPException with one sentence where there is none."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not kind.startswith("image/"):
        raise HTTPException(415, "send the picture as the body, with a Content-Type of image/....")
    too_large = HTTPException(413, f"the picture has more than {MEBIBYTES} MiB.")
    if int(request.headers.get("content-length") or 0) > MEBIBYTES << 20:
        raise too_large
    async with request.app.state.uploads:
        data = bytearray()
        try:
            async with asyncio.timeout(SECONDS):
                async for chunk in request.stream():
                    data += chunk
                    if len(data) > MEBIBYTES << 20:
                        raise too_large
        except TimeoutError:
            raise HTTPException(408, f"the picture did not arrive within {SECONDS} seconds.") from None
        except ClientDisconnect:
            raise HTTPException(400, "the upload broke off.") from None
        picture = bytes(data)
        async with request.app.state.decoding:
            await asyncio.to_thread(check, picture)
    return picture


def check(picture: bytes) -> None:
    """HTTPException where the picture can't be decoded, or has too many pixels."""
    most = f"more than {PIXELS // 1_000_000} million pixels"
    Image.init()  # so that all formats are registered
    formats = [each for each in FORMATS if each in Image.OPEN]
    try:
        with Image.open(io.BytesIO(picture), formats=formats) as image:  # which reads the header alone
            width, height = image.size
    except Image.DecompressionBombError:
        raise HTTPException(413, f"the picture has {most}.") from None
    except Exception:  # noqa: BLE001 (of broken files, decoders raise anything)
        reason = "not a picture of a known format" if picture else "the file is empty"
        raise HTTPException(422, f"the picture can't be read: {reason}.") from None
    if width * height > PIXELS:
        raise HTTPException(413, f"the picture has {width} x {height}, {most}.")
    try:
        decode(picture)
    except UndecodableError as error:
        raise HTTPException(422, f"the picture can't be read: {error}.") from None


def _page(answers: Answers) -> str:
    described = answers.model.described
    return render_page(
        Path(__file__).parent,
        {"readable": display_name, "plural": plural},
        described=described,
        mebibytes=MEBIBYTES,
        model=answers.model,
        similar=answers.neighbours is not None,
    )
