"""`python -m flows.serve`: a real server of the finished sample, a real browser, and bad clients."""

import asyncio
import base64
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import uvicorn
from PIL import Image
from playwright.sync_api import Page

from pets.core.files import read_json
from pets.prediction.models import find
from pets.serving import app
from pets.serving.answers import Answers
from pets.serving.batching import Batcher, BusyError
from tests.conftest import BACKBONE, ROOT, Workspace

MODEL = f"sample/{BACKBONE}/prototype"


@pytest.fixture(scope="module")
def address(finished: Workspace) -> Iterator[str]:
    """A server of the sample's model, in a thread."""
    with pytest.MonkeyPatch.context() as patch, socket.socket() as listening:
        patch.chdir(finished.path)
        listening.bind(("127.0.0.1", 0))
        answers = Answers(find(MODEL), ROOT / "weights", "cpu")
        server = uvicorn.Server(uvicorn.Config(app.make_app(answers), log_level="warning"))
        thread = threading.Thread(target=server.run, args=[[listening]])
        thread.start()
        before = sorted(finished.path.rglob("*"))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()
        assert sorted(finished.path.rglob("*")) == before  # nothing that was uploaded is kept


@pytest.fixture(scope="module")
def evaluated(finished: Workspace) -> pd.DataFrame:
    """evaluate's predictions of the test pictures, with their files."""
    table = pd.read_parquet(finished.path / "evaluations" / MODEL / "predictions.parquet")
    images = finished.path / "data/sample/raw/images"
    return table.assign(file=table["image_id"].map(lambda each: images / f"{each}.jpg"))


def post(address: str, data: bytes, kind: str = "image/jpeg", path: str = "/api/predict") -> httpx.Response:
    return httpx.post(address + path, content=data, headers={"Content-Type": kind}, timeout=60)


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


def test_two_hundred_clients_at_once_get_the_predictions_of_evaluate(
    address: str, evaluated: pd.DataFrame, finished: Workspace
) -> None:
    rows = [row for _, row in pd.concat([evaluated, evaluated]).head(200).iterrows()]
    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(lambda row: post(address, row["file"].read_bytes()), rows))
    described = read_json(finished.path / "models" / MODEL / "head.json")
    for row, response in zip(rows, found, strict=True):
        assert response.status_code == 200, response.text
        answer = response.json()
        assert (answer["label"], answer["species"]) == (row["predicted"], row["predicted_species"])
        expected = dict(zip(described["classes"], row["probabilities"], strict=True))
        for each in answer["classes"]:  # batches are not filled up, which may round a feature the other way
            assert each["probability"] == pytest.approx(expected[each["label"]], abs=2e-4)
        assert answer["threshold"] == described["unknown"]["threshold"]
        assert answer["unknown"] == (answer["unknown_score"] > answer["threshold"])
    splits = pd.read_parquet(finished.path / "data/sample/splits.parquet").set_index("image_id")["split"]
    assert {splits[each["image_id"]] for each in found[0].json()["similar"]} <= {"train", "val"}


@pytest.mark.parametrize(
    ("data", "kind", "status", "text"),
    [
        (b"", "image/png", 422, "the file is empty"),
        (b"no picture", "image/png", 422, "not a picture of a known format"),
        (png(300, 300)[:400], "image/png", 422, "truncated"),
        (png(30_000, 2_000), "image/png", 413, "30000 x 2000, more than 50 million pixels"),
        (png(20_000, 20_000), "image/png", 413, "more than 50 million pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/eps", 422, "not a picture of a known"),
        (b"x" * ((20 << 20) + 1), "image/jpeg", 413, "more than 20 MiB"),
        (png(8, 8), "text/plain", 415, "send the picture as the body"),
        (png(8, 8), "", 415, "send the picture as the body"),
    ],
    ids=["empty", "text", "cut off", "bomb", "larger bomb", "PostScript", "large", "not an image", "no type"],
)
def test_what_is_refused(address: str, data: bytes, kind: str, status: int, text: str) -> None:
    for path in ("/api/predict", "/api/gradcam"):
        response = post(address, data, kind, path)
        assert response.status_code == status
        assert text in response.json()["detail"]
        assert "\n" not in response.json()["detail"]


def test_grad_cam_and_predictions_at_once_do_not_disturb_each_other(
    address: str, evaluated: pd.DataFrame
) -> None:
    pictures = [file.read_bytes() for file in evaluated["file"].head(12)]
    asked = [(picture, path) for picture in pictures for path in ("/api/predict", "/api/gradcam")]
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda each: post(address, each[0], path=each[1]), asked))
    assert [each.status_code for each in found] == [200] * len(asked)
    labels = [each.json()["label"] for each in found]
    assert labels[::2] == labels[1::2] == list(evaluated["predicted"].head(12))


def test_an_upload_of_500_mb_is_refused_before_it_is_sent(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(
            b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 500000000\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_slow_client_is_given_up_on_and_others_are_served(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SECONDS", 0.5)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(
            b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 1000\r\n\r\nabc"
        )
        assert post(address, png(40, 40), "image/png").status_code == 200
        assert client.recv(1000).startswith(b"HTTP/1.1 408")


def test_more_than_may_wait_are_told_to_come_again(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(*_: Any) -> None:
        raise app.BusyError

    monkeypatch.setattr(app.Batcher, "submit", busy)
    response = post(address, png(40, 40), "image/png")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


def test_another_name_for_this_machine_is_refused(address: str) -> None:
    assert httpx.get(address, headers={"Host": "pets.example"}).status_code == 400


def test_the_api_is_described(address: str) -> None:
    described = httpx.get(f"{address}/openapi.json").json()
    assert set(described["paths"]) == {"/api/predict", "/api/gradcam"}
    assert "image/*" in described["paths"]["/api/predict"]["post"]["requestBody"]["content"]
    fields = described["components"]["schemas"]["Prediction"]["properties"]
    assert set(fields) == set(post(address, png(40, 40), "image/png").json())


@pytest.fixture
def page(tab: Page, address: str) -> Page:
    """The page."""
    tab.goto(address)
    return tab


DROP = """([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
  const options = { dataTransfer, bubbles: true, cancelable: true };
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", options));
}"""


def test_a_photo_is_dropped_and_its_breed_read(page: Page, evaluated: pd.DataFrame, tmp_path: Path) -> None:
    row = evaluated.iloc[5]
    page.evaluate(DROP, [row["file"].name, base64.b64encode(row["file"].read_bytes()).decode()])
    page.wait_for_selector("#gradcam:not([hidden])")
    name = row["predicted"].replace("_", " ").lower()
    assert name in page.locator("#status").inner_text().lower()
    assert page.locator("#classes li").count() == 5
    assert page.locator("#classes li").first.inner_text().lower().startswith(name)
    assert page.locator("#similar img").count() == 3
    assert name in page.locator("#gradcam").inner_text().lower()

    (tmp_path / "red.png").write_bytes(png(300, 200))
    page.set_input_files("#file", tmp_path / "red.png")
    page.wait_for_selector("h2#answer:text('Unknown')")
    page.wait_for_selector("#gradcam:not([hidden])")

    (tmp_path / "cut <b>off.jpg").write_bytes(row["file"].read_bytes()[:2000])
    page.set_input_files("#file", tmp_path / "cut <b>off.jpg")
    page.wait_for_selector("#status.problem")
    assert "cut <b>off.jpg: the picture can't be read" in page.locator("#status").inner_text()
    assert page.locator("#result").is_hidden()


def test_the_file_is_chosen_by_keyboard(page: Page) -> None:
    page.bring_to_front()
    page.wait_for_load_state("networkidle")
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "file":
            break
    assert page.evaluate("document.activeElement.id") == "file"
    with page.expect_file_chooser():
        page.keyboard.press("Space")


class TestCommand:
    def test_it_says_where_it_is_and_ends_by_ctrl_c(self, finished: Workspace) -> None:
        command = [sys.executable, "-m", "flows.serve", "--model", MODEL, "--port", "0"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            command, cwd=finished.path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, start_new_session=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found is not None
            assert httpx.get(found[0]).status_code == 200
            os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
            rest = process.stdout.read()
        assert rest == ""
        assert process.returncode == 0

    def test_what_cannot_be_served_is_one_line(self, finished: Workspace) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            output = finished.run("python", "-m", "flows.serve", "--model", MODEL, "--port", port, fails=True)
        assert output.startswith(f"serve: port {port} can't be used")
        assert output.count("\n") == 1
        output = finished.run("python", "-m", "flows.serve", "--model", "sample/x/y", fails=True)
        assert output.startswith("serve: there is no model 'sample/x/y' in models/; ")


def test_pictures_are_computed_together_and_each_gets_its_own_answer() -> None:
    sizes = []

    def double(numbers: Any) -> list[int]:
        sizes.append(len(numbers))
        if 13 in numbers:
            raise ValueError("unlucky")
        return [2 * each for each in numbers]

    async def several() -> list[Any]:
        batcher = Batcher(double, size=4, waiting=10)
        waiting = [asyncio.create_task(batcher.submit(each)) for each in range(12)]
        await asyncio.sleep(0)
        runner = asyncio.create_task(batcher.run())
        results = await asyncio.gather(*waiting, return_exceptions=True)
        unlucky = await asyncio.gather(batcher.submit(13), return_exceptions=True)
        runner.cancel()
        return [*results, *unlucky]

    with ThreadPoolExecutor(1) as pool:  # the browser's own loop runs in this thread
        *found, unlucky = pool.submit(asyncio.run, several()).result()
    assert found[:10] == [2 * each for each in range(10)]
    assert all(isinstance(each, BusyError) for each in found[10:])
    assert isinstance(unlucky, ValueError)
    assert sizes == [4, 4, 2, 1]
