from pathlib import Path

import pytest
import torchvision

from pets.core import names, params
from pets.core.errors import UserError
from pets.core.params import Section

COMMITTED = Path(__file__).parents[2] / "params.yaml"


class Settings(Section):
    size: int
    name: str


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text() + "\nmine:\n  size: 3  # pixels\n  name: x\n")
    return path


def test_reads_a_section_and_a_single_key(file: Path) -> None:
    assert params.read("mine", Settings) == Settings(size=3, name="x")
    assert params.read("mine.size", int) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size: 3", "sise: 3", "'mine.sise' is not a parameter; did you mean 'size'?"),
        ("size: 3", "size: large", "'mine.size' is 'large'"),
        ("  size: 3  # pixels\n", "", "'mine.size' is missing"),
        ("\nmine:", "\nmein:", "'mine' is not in params.yaml; did you mean 'mein'?"),
        ("[vgg16,", "[vgg61,", "the unknown backbone 'vgg61'; did you mean 'vgg19' or 'vgg16'"),
        ("[linear,", "[lineal,", "run.heads names the unknown head 'lineal'; did you mean 'linear'?"),
        ("datasets: [oxford-iiit-pet]", "datasets: [oxford]", "names the unknown data set 'oxford'"),
        ("[linear,", "[knn,", "names 'knn' twice"),
        ("size: 3", "size: [3", "is not valid YAML"),
    ],
)
def test_a_mistake_is_reported_in_one_line(file: Path, old: str, new: str, message: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        params.read("mine", Settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no params\.yaml"):
        params.read("mine", Settings)


def test_override_keeps_the_comments(file: Path) -> None:
    params.override(["run.heads=[knn, mlp]", "mine.size=4"])
    text = file.read_text()
    assert "heads: [knn, mlp]" in text
    assert "size: 4  # pixels" in text
    assert text.count("#") == COMMITTED.read_text().count("#") + 1
    with pytest.raises(UserError, match=r"no 'mine\.colour'"):
        params.override(["mine.colour=red"])


def test_names_known_without_torch_are_those_with_it() -> None:
    known = {name for name in names.backbones() if "-" not in name} - set(names.LITE)
    assert known == set(torchvision.models.list_models(module=torchvision.models))
    assert names.heads() == ("knn", "linear", "mlp", "prototype")
    assert names.sources() == ("oxford-iiit-pet", "sample")
