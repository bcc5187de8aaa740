from pathlib import Path

import pytest

from pets.core.files import atomic, checksum, read_json, write_json


@pytest.mark.parametrize("folder", [False, True])
def test_what_existed_before_exists_until_the_new_is_complete(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "out"

    def make(target: Path, text: str) -> None:
        if folder:
            target.mkdir()
            target = target / "file"
        target.write_text(text)

    def text() -> str:
        return (path / "file" if folder else path).read_text()

    with atomic(path) as temporary:
        make(temporary, "old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:  # noqa: PT012
        make(temporary, "new")
        raise RuntimeError
    assert text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    with atomic(path) as temporary:
        make(temporary, "new")
        assert text() == "old"
    assert text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_the_leftover_of_a_killed_run_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "half").write_text("x")
    with atomic(tmp_path / "out") as temporary:
        temporary.write_text("new")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_json_and_checksums(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "ä"})
    assert read_json(tmp_path / "a.json") == {"b": 1, "a": "ä"}
    (tmp_path / "abc").write_bytes(b"abc")
    assert checksum(tmp_path / "abc", "md5") == "900150983cd24fb0d6963f7d28e17f72"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "nan.json", float("nan"))
