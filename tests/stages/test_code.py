"""The records of code: an edit changes those of the data sets and backbones that use it, and no other."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pets.core import imports
from pets.core.errors import UserError
from stages import backbone, code

ROOT = Path(__file__).parents[2]
BACKBONES = ("resnet50", "efficientnet_lite0", "efficientnet_lite0-finetuned", "resnet50+timm/resnet10t")
LITE, FINETUNED, JOINED = (f"backbones/{each}" for each in BACKBONES[1:])
PARAMS = """
run:
  datasets: [pets, small, large]
  backbones: [resnet50, efficientnet_lite0, efficientnet_lite0-finetuned, resnet50+timm/resnet10t]
  heads: [linear]
  finetune: [efficientnet_lite0]
folders: []
datasets:
  pets: {source: oxford-iiit-pet}
  small: {source: sample}
  large: {source: sample}
  other: {source: unknown}
"""


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, dict[str, str]]]:
    """Runs both stages on a copy of the library; returns the records."""
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("sources", "backbones"):
        shutil.copytree(ROOT / "pets" / package, tmp_path / "pets" / package, ignore=ignored)
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imports, "ROOT", tmp_path)
    for stage in (code, backbone):
        monkeypatch.setattr(stage, "ROOT", tmp_path)

    def run() -> dict[str, dict[str, str]]:
        code.main()
        for name in BACKBONES:
            backbone.main(name)
        sources, backbones = (tmp_path / "code").rglob("*.json"), (tmp_path / "backbones").rglob("code.json")
        files = {file.relative_to(tmp_path / "code").with_suffix(""): file for file in sources}
        files |= {file.parent.relative_to(tmp_path): file for file in backbones}
        return {name.as_posix(): json.loads(file.read_text()) for name, file in files.items()}

    return run


def test_a_record_for_each_data_set_and_backbone_of_the_run(
    records: Callable[[], dict[str, dict[str, str]]],
) -> None:
    written = records()
    assert set(written) == {
        "sources/pets",
        "sources/small",
        "sources/large",
        "backbones/resnet50",
        LITE,
        FINETUNED,
        JOINED,
    }
    assert written["sources/small"] == written["sources/large"]
    for record in written.values():
        for file, sha256 in record.items():
            assert sha256 == hashlib.sha256((ROOT / file).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("sources/sample.py", {"sources/small", "sources/large"}),
        ("sources/synthetic_pets/drawing.py", {"sources/small", "sources/large"}),
        ("sources/oxford_iiit_pet.py", {"sources/pets"}),
        ("sources/archives/unpacking.py", {"sources/pets"}),
        ("sources/annotations/__init__.py", {"sources/pets", "sources/small", "sources/large"}),
        ("backbones/torchvision.py", {"backbones/resnet50", JOINED}),
        ("backbones/timm_hub.py", {JOINED}),
        ("backbones/efficientnet_lite.py", {LITE, FINETUNED}),
        ("backbones/finetuned.py", {FINETUNED}),
        ("backbones/base.py", {"backbones/resnet50", LITE, FINETUNED, JOINED}),
    ],
)
def test_an_edit_changes_the_records_that_it_concerns(
    file: str,
    changed: set[str],
    records: Callable[[], dict[str, dict[str, str]]],
    tmp_path: Path,
) -> None:
    before = records()
    with (tmp_path / "pets" / file).open("a") as edited:
        edited.write("# edited\n")
    after = records()
    assert {name for name in before if after[name] != before[name]} == changed


def test_a_data_set_that_leaves_the_run_loses_its_record(
    records: Callable[[], dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    records()
    (tmp_path / "params.yaml").write_text(PARAMS.replace("[pets, small, large]", "[pets]"))
    assert {name for name in records() if name.startswith("sources/")} == {"sources/pets"}


@pytest.mark.parametrize("entry", ["{source: smaple}", "{}"])
def test_an_unknown_source_is_reported(
    entry: str, records: Callable[[], dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    records()
    before = sorted((tmp_path / "code").rglob("*"))
    (tmp_path / "params.yaml").write_text(PARAMS.replace("small: {source: sample}", f"small: {entry}"))
    with pytest.raises(UserError, match=r"datasets\.small\.source names the unknown source .*sample"):
        records()
    assert sorted((tmp_path / "code").rglob("*")) == before


def test_the_stages_before_embed_start_without_torch() -> None:
    script = "import sys, stages.{}; sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    for stage in ("code", "backbone", "download", "catalog", "split"):
        subprocess.run([sys.executable, "-c", script.format(stage)], cwd=ROOT, check=True)
