"""OpenVINO gives PyTorch's features, and is only used where it does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pets.backbones.base import Backbone
from pets.core.errors import UserError
from pets.engines import choice, openvino
from pets.engines.choice import choose
from pets.engines.device import Precision
from pets.engines.openvino import OpenVino
from pets.engines.pytorch import Engine
from pets.images.batches import batches


@pytest.mark.parametrize(("views", "precision", "least"), [(1, "float32", 0.99999), (2, "bfloat16", 0.995)])
def test_the_features_are_pytorchs(
    views: int, precision: Precision, least: float, lite: Backbone, files: list[Path]
) -> None:
    theirs = Engine(lite, "cpu", "float32").embed(files, views, "float32")
    ours = OpenVino(lite, "cpu", precision).embed(files, views, "float32")
    assert ours.shape == theirs.shape == (20, 1280)
    assert torch.nn.functional.cosine_similarity(ours, theirs).min() > least
    torch.testing.assert_close(ours.norm(dim=1), theirs.norm(dim=1), rtol=0.02, atol=0)


def test_an_image_has_the_same_features_in_any_batch(lite: Backbone, files: list[Path]) -> None:
    engine = OpenVino(lite, "cpu", "auto")
    together = engine.embed(files, 1, "float32")
    parts = [engine.embed(part, 1, "float32") for part in (files[:3], files[3:19], files[19:])]
    assert torch.equal(together, torch.cat(parts))
    few = np.concatenate(list(engine.run(batches(files, lite.preprocessing, 1, 7))))
    assert torch.equal(together, torch.from_numpy(few))


@pytest.mark.parametrize(("device", "precision"), [("cpu", "float16"), ("cuda", "float32")])
def test_what_it_cannot_do_is_refused(
    device: choice.Device, precision: Precision, lite: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(lite.features, "to", lambda *_, **__: lite.features)
    with pytest.raises(UserError, match=r"runs on the CPU in float32 or bfloat16, not on (cpu in fl|cuda)"):
        OpenVino(lite, device, precision)


class TestChoice:
    def test_openvino_where_its_features_are_close(
        self, lite: Backbone, files: list[Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        engine = choose("auto", lite, "cpu", "float32", files)
        assert (engine.name, type(engine)) == ("openvino", OpenVino)
        assert (
            "have a cosine of 1.0000 with float32's, at worst 1.0000: it is used." in capsys.readouterr().out
        )

    def test_pytorch_where_they_are_not(
        self,
        lite: Backbone,
        files: list[Path],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(
            OpenVino, "vectors", lambda *_: iter([np.random.default_rng(0).normal(size=(16, 1280))])
        )
        engine = choose("auto", lite, "cpu", "float32", files)
        assert (engine.name, type(engine)) == ("torch", Engine)
        assert ": PyTorch is used." in capsys.readouterr().out
        with pytest.raises(UserError, match=r"0\.999 and 0\.99 are needed; set embed\.engine: torch"):
            choose("openvino", lite, "cpu", "float32", files)

    def test_pytorch_without_the_package(
        self,
        lite: Backbone,
        files: list[Path],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(openvino, "find_spec", lambda _: None)
        assert choose("auto", lite, "cpu", "float32", files).name == "torch"
        assert capsys.readouterr().out == "PyTorch is used: OpenVINO is not installed.\n"
        with pytest.raises(UserError, match="not installed: run `pip install openvino`"):
            choose("openvino", lite, "cpu", "float32", files)

    def test_pytorch_in_a_precision_that_openvino_has_not(
        self, lite: Backbone, files: list[Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert choose("auto", lite, "cpu", "float16", files).name == "torch"
        assert capsys.readouterr().out == "PyTorch is used: OpenVINO has no float16.\n"

    def test_pytorch_by_name(self, lite: Backbone, files: list[Path]) -> None:
        assert type(choose("torch", lite, "cpu", "float32", files)) is Engine
