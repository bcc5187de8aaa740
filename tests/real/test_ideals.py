"""What the README says of the ideals, with the parameters that are committed."""

import json
from pathlib import Path

import pytest

from pets.core import params
from stages import ideal
from tests.conftest import ROOT


def test_saved_ideals_are_classified_as_their_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    params.override(["ideal.ablation=[]", "ideal.frames=0"])
    ideal.main("efficientnet_lite0")
    summary = json.loads((tmp_path / "ideals/imagenet/efficientnet_lite0/summary.json").read_text())
    print(summary)
    assert {"zebra", "tabby", "golden retriever"} <= summary["probability"].keys()
    assert all(probability > 0.9 for probability in summary["probability"].values())
