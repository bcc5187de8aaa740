"""The engine gives the network's features, whatever batch an image is in, and recovers from out of memory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pets.backbones.base import Backbone
from pets.core.errors import UserError
from pets.core.files import checksum
from pets.engines.device import Precision, resolve_precision
from pets.engines.pytorch import Engine
from pets.images.batches import batches


def embed(engine: Engine, files: list[Path], views: int = 1, size: int = 7) -> np.ndarray:
    return np.concatenate(list(engine.run(batches(files, engine.preprocessing, views, size))))


def test_float32_is_the_networks_own_forward_pass(lite: Backbone, files: list[Path]) -> None:
    engine = Engine(lite, "cpu", "float32")
    ours = embed(engine, files[:5])
    [[images]] = batches(files[:5], lite.preprocessing, 1, 5)
    with torch.inference_mode():
        theirs = lite.features(lite.preprocessing.normalize(images.float() / 255))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=1e-4)


def test_two_views_are_averaged(lite: Backbone, files: list[Path]) -> None:
    engine = Engine(lite, "cpu", "float32")
    [both] = batches(files[:3], lite.preprocessing, 2, 3)
    assert [view.shape[2] for view in both] == [224, 256]
    singly = [next(engine.run([[view]])) for view in both]
    np.testing.assert_allclose(
        embed(engine, files[:3], views=2), np.mean(singly, axis=0), rtol=1e-5, atol=1e-6
    )
    assert not np.allclose(singly[0], singly[1], atol=1e-2)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_do_not_depend_on_the_batch(lite: Backbone, files: list[Path], precision: Precision) -> None:
    """Bit for bit: so that adding photos one by one ends in the same store as embedding all at once."""
    engine = Engine(lite, "cpu", precision)
    some = files[:14]  # few, since a processor without bfloat16 takes seconds for a batch of it
    together = embed(engine, some)
    np.testing.assert_array_equal(embed(engine, some[::-1], size=8)[::-1], together)
    np.testing.assert_array_equal(embed(engine, some[13:14])[0], together[13])


def test_bfloat16_keeps_the_features(lite: Backbone, files: list[Path]) -> None:
    full = torch.from_numpy(embed(Engine(lite, "cpu", "float32"), files))
    half = torch.from_numpy(embed(Engine(lite, "cpu", "bfloat16"), files))
    cosine = torch.nn.functional.cosine_similarity(full, half)
    assert cosine.mean() > 0.998  # of noise; tests/real asks more of photographs


def test_out_of_memory_halves_the_batch(
    lite: Backbone, files: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine(lite, "cpu", "float32")
    expected = embed(engine, files)
    forward = engine._full_batch

    def small(batch: torch.Tensor) -> torch.Tensor:
        if engine.batch_size > 5:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(batch)

    monkeypatch.setattr(engine, "_full_batch", small)
    np.testing.assert_allclose(embed(engine, files), expected, rtol=1e-3, atol=1e-4)
    assert engine.batch_size == 4
    assert "continuing with 4 images at a time" in capsys.readouterr().out


def test_no_memory_for_a_single_image_and_other_errors(
    lite: Backbone, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(lite, "cpu", "float32")

    def full(batch: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(engine, "_full_batch", full)
    with pytest.raises(UserError, match="does not fit into the memory"):
        embed(engine, files)

    def broken(batch: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(engine, "_full_batch", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        embed(engine, files)


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a GPU on a machine without one")
def test_a_gpu_that_is_not_there(lite: Backbone) -> None:
    with pytest.raises(UserError, match="no GPU is available here"):
        Engine(lite, "cuda", "auto")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_agrees_with_the_cpu(lite: Backbone, files: list[Path]) -> None:
    on_cpu = torch.from_numpy(embed(Engine(lite, "cpu", "float32"), files))
    on_gpu = torch.from_numpy(embed(Engine(lite, "cuda", "auto"), files))
    assert torch.nn.functional.cosine_similarity(on_cpu, on_gpu).min() > 0.999


def test_a_picture_that_vanished_or_changed_is_reported(
    lite: Backbone, files: list[Path], tmp_path: Path
) -> None:
    engine = Engine(lite, "cpu", "float32")
    with pytest.raises(UserError, match=r"gone\.png was there when it was cataloged, and is gone; run `dvc"):
        list(engine.vectors([*files[:3], tmp_path / "gone.png"], 1))
    checksums = [checksum(file) for file in files[:3]]
    assert len(next(engine.vectors(files[:3], 1, checksums))) == 3
    with pytest.raises(UserError, match=r"1\.png has changed since it was cataloged; run `dvc repro`"):
        list(engine.vectors(files[:3], 1, [checksums[0], checksums[0], checksums[2]]))


@pytest.mark.parametrize(
    ("processor", "precision"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, "bfloat16"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, "float32"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, "bfloat16"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, "float32"),
        ({"architecture": "aarch64", "bf16": True}, "bfloat16"),
        ({}, "float32"),
    ],
)
def test_bfloat16_where_the_processor_is_faster_with_it(
    processor: dict[str, str | bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor)
    assert resolve_precision("auto", "cpu") == precision
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"
