"""What the README promises of the ideal pictures, with the parameters that are committed."""

import json
from pathlib import Path

import pytest

from stages import ideal, params
from tests.conftest import ROOT


def test_zebra_tabby_and_golden_retriever_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    params.override(["ideal.taken_apart=[]", "ideal.frames=0"])
    ideal.main("efficientnet_lite0")
    metrics = json.loads((tmp_path / "ideals/imagenet/efficientnet_lite0/metrics.json").read_text())
    print(metrics)
    assert {"zebra", "tabby", "golden retriever"} <= metrics["probability"].keys()
    assert all(probability > 0.9 for probability in metrics["probability"].values())
