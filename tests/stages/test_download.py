"""Archives are fetched once, whatever is deleted later, and a failure leaves the earlier data set."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pets.core.errors import TemporaryError, UserError
from pets.dataset import Dataset
from pets.sources.archives import downloads
from stages import catalog, download
from tests.sources.server import Answer, Server, cut, md5, serving, status

PICTURES = ("Bengal_1", "Bengal_2", "pug_1", "pug_2")


def pack(files: dict[str, bytes]) -> bytes:
    """A tar of those files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


ARCHIVES = {
    "images": pack({f"images/{name}.jpg": b"pixels" for name in PICTURES}),
    "annotations": pack(
        {
            "annotations/trainval.txt": b"Bengal_1 1 1 1\npug_1 2 2 1\n",
            "annotations/test.txt": b"Bengal_2 1 1 1\npug_2 2 2 1\n",
        }
    ),
}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(downloads, "RETRY", downloads.RETRY.new(total=0))
    return tmp_path


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def set_params(urls: dict[str, str], **changes: Any) -> None:
    entry = {name: {"url": url, "md5": md5(ARCHIVES[name])} for name, url in urls.items()}
    content = {
        "run": {"datasets": ["pets"], "backbones": ["efficientnet_lite0"], "heads": ["knn"]},
        "datasets": {"pets": {"source": "oxford-iiit-pet", **entry} | changes},
        "archives": "kept",
    }
    Path("params.yaml").write_text(json.dumps(content))  # which YAML reads


def serve(server: Server) -> dict[str, str]:
    """Serve both archives; returns their urls."""
    server.contents = {f"/data/{name}.tar": data for name, data in ARCHIVES.items()}
    return {name: server.url(f"{name}.tar") for name in ARCHIVES}


def test_archives_are_fetched_once(server: Server, workspace: Path) -> None:
    set_params(urls := serve(server))
    download.main("pets")
    pictures = Dataset("pets").raw / "images"
    assert sorted(file.stem for file in pictures.iterdir()) == list(PICTURES)
    assert {file.name for file in (workspace / "kept").iterdir()} == {
        f"{md5(data)}-{name}.tar" for name, data in ARCHIVES.items()
    }
    assert json.loads((workspace / "data/pets/origin.json").read_text()) == {
        "source": "oxford-iiit-pet",
        "label_name": "breed",
        "synthetic": False,
        "from_imagenet": False,
        "archives": [
            {"name": name, "url": urls[name], "md5": md5(data), "bytes": len(data)}
            for name, data in ARCHIVES.items()
        ],
    }
    assert len(server.ranges) == 2
    server.always = status(404)
    shutil.rmtree(workspace / "data")
    download.main("pets")
    assert sorted(file.stem for file in pictures.iterdir()) == list(PICTURES)
    assert len(server.ranges) == 2


def test_an_archive_at_a_path_is_neither_copied_nor_linked(workspace: Path) -> None:
    own = {name: workspace / f"{name}.tar" for name in ARCHIVES}
    for name, file in own.items():
        file.write_bytes(ARCHIVES[name])
    set_params({name: file.name for name, file in own.items()})
    download.main("pets")
    assert sorted(each.name for each in workspace.iterdir()) == [
        "annotations.tar",
        "data",
        "images.tar",
        "params.yaml",
    ]
    for file in own.values():
        assert file.stat().st_nlink == 1
    assert not any(each.is_symlink() for each in workspace.rglob("*"))


def test_an_interrupted_download_resumes_in_the_next_run(server: Server, workspace: Path) -> None:
    set_params(serve(server))
    server.plan = [cut(1000)]
    with pytest.raises(TemporaryError, match=r"kept/\w+\.part keeps what was received"):
        download.main("pets")
    assert not (workspace / "data/pets/raw").exists()
    download.main("pets")
    assert server.ranges == [None, "bytes=1000-", None]
    assert server.bytes_served == sum(map(len, ARCHIVES.values()))
    assert len(list((workspace / "kept").iterdir())) == 2


@pytest.mark.parametrize("answer", [status(503), status(404)])
def test_a_failure_leaves_the_earlier_data_set(
    answer: Callable[[Answer], None], server: Server, workspace: Path
) -> None:
    set_params(serve(server))
    download.main("pets")
    earlier = {file: file.read_bytes() for file in (workspace / "data").rglob("*") if file.is_file()}
    server.always = answer
    set_params(
        {name: server.url("other") for name in ARCHIVES}, images={"url": server.url(), "md5": "0" * 32}
    )
    with pytest.raises(UserError):
        download.main("pets")
    assert earlier == {file: file.read_bytes() for file in (workspace / "data").rglob("*") if file.is_file()}


def test_the_other_archive_is_recognized(workspace: Path) -> None:
    for name, data in ARCHIVES.items():
        (workspace / name).write_bytes(data)
    wrong = {"url": "annotations", "md5": md5(ARCHIVES["annotations"])}
    set_params({name: name for name in ARCHIVES}, images=wrong)
    with pytest.raises(UserError, match="annotations holds no folder 'images/'"):
        download.main("pets")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "oxford-iiit-pets"}, "unknown source 'oxford-iiit-pets'; did you mean 'oxford-iiit-pet'"),
        ({"source": ""}, "datasets.pets.source names the unknown source ''; known"),
        ({"imagse": {}}, "datasets.pets.imagse' is not a parameter; did you mean 'images'"),
        ({"images": {"url": "a.tar", "md5": "1"}}, "datasets.pets.images.md5"),
    ],
)
def test_a_wrong_entry_is_reported(changes: dict[str, Any], message: str) -> None:
    set_params({name: name for name in ARCHIVES}, **changes)
    with pytest.raises(UserError) as raised:
        download.main("pets")
    assert message in str(raised.value)


def test_the_catalog_refuses_a_data_set_without_a_usable_picture(server: Server) -> None:
    set_params(serve(server))
    download.main("pets")
    with pytest.raises(UserError, match=r"holds no picture that can be used \(4 listed\)"):
        catalog.main("pets")
