"""Fine-tuning of a tiny network: beside a plain loop of PyTorch, killed, out of memory, with bad settings."""

import multiprocessing
import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional

from pets.core.errors import UserError
from pets.finetuning import training
from pets.finetuning.validation import Validation
from pets.heads import linear
from tests.finetuning import tiny
from tests.finetuning.tiny import SETTINGS, run


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # for networks as tiny as these


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-6) for name in one
    )


def test_one_epoch_equals_a_plain_loop(tmp_path: Path) -> None:
    """torch's AdamW and OneCycleLR, on the same batches, without augmentation and averaging."""
    plain, images = tiny.backbone(norms=False), tiny.labelled(tmp_path)[0]
    network = plain.features.requires_grad_(True)
    head = {name: torch.nn.Parameter(each) for name, each in tiny.start().items()}
    parameters = [*network.parameters(), *head.values()]
    groups = [
        {"params": [each for each in parameters if (each.ndim > 1) == matrix], "weight_decay": decay}
        for matrix, decay in ((True, SETTINGS.weight_decay), (False, 0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=SETTINGS.learning_rate)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, SETTINGS.learning_rate, total_steps=3)
    pictures = torch.stack([plain.preprocessing.geometry(pixels(file)) for file in images.files])
    inputs = plain.preprocessing.normalize(pictures.float() / 255)
    order = torch.from_numpy(np.random.default_rng([0, training.ORDER, 0]).permutation(tiny.TRAIN))
    for batch in order.split(SETTINGS.batch_size):
        optimizer.zero_grad()
        logits = linear.logits({**head}, network(inputs[batch]))
        functional.cross_entropy(logits, images.labels[batch], label_smoothing=0.1).backward()
        optimizer.step()
        if len(batch) == SETTINGS.batch_size:  # the last step has no next rate
            scheduler.step()

    ours = run(
        tmp_path, network=tiny.backbone(norms=False), epochs=1, layer_decay=1, augment=False, ema_decay=0
    )
    assert ours.epoch == 1
    assert close(ours.tensors, network.state_dict())
    assert not close(ours.tensors, tiny.backbone(norms=False).features.state_dict())


def pixels(file: Path) -> torch.Tensor:
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)


def test_it_learns_and_keeps_the_best_epoch_by_validation(tmp_path: Path) -> None:
    history = run(tmp_path, epochs=6).history
    assert list(history["epoch"]) == list(range(7))
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[1]
    assert history["validation_nll"].iloc[-1] < 0.8 * history["validation_nll"].iloc[0]
    chosen = history.loc[history["chosen"], "validation_nll"]
    assert list(chosen) == [history["validation_nll"].min()]


def test_a_start_that_nothing_beats_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worse = iter([0.5, 0.6, 0.7])
    measured = {"validation_top1": 0.5}
    monkeypatch.setattr(Validation, "measure", lambda self: {"validation_nll": next(worse), **measured})
    done = run(tmp_path)
    assert done.epoch == 0
    assert equal(done.tensors, tiny.backbone().features.state_dict())


def test_the_seed_determines_the_bytes(tmp_path: Path) -> None:
    first, again, other = (run(tmp_path, seed) for seed in (0, 0, 1))
    assert equal(first.tensors, again.tensors)
    assert not equal(first.tensors, other.tensors)


def test_killed_five_times_it_ends_with_the_bytes_of_the_undisturbed_run(tmp_path: Path) -> None:
    undisturbed = run(tmp_path, epochs=tiny.MANY)
    (tmp_path / "scratch" / "checkpoint.safetensors").unlink()
    context = multiprocessing.get_context("forkserver")  # which imports everything once
    context.set_forkserver_preload(["tests.finetuning.tiny", "torch._dynamo"])
    steps: list[list[int]] = []  # of each process
    for moment in [*np.random.default_rng().uniform(0, 0.03, 5), None]:  # seconds after some steps
        parent, child = context.Pipe()
        process = context.Process(target=tiny.run_in_process, args=(tmp_path, child))
        process.start()
        child.close()
        steps.append([parent.recv() for _ in range(3)])
        if moment is not None:
            time.sleep(moment)
            process.kill()
        while True:
            try:
                steps[-1].append(parent.recv())
            except EOFError:
                break
        process.join()
        assert process.exitcode == (0 if moment is None else -signal.SIGKILL)
    assert all(last[-1] <= first[0] for last, first in pairwise(steps))  # none began anew
    assert steps[0][0] == 0
    assert steps[-1][0] > 0
    assert equal(load_file(tmp_path / "result.safetensors"), undisturbed.tensors)
    history = pd.read_csv(tmp_path / "history.csv")
    pd.testing.assert_frame_equal(history, undisturbed.history, check_exact=True, check_dtype=False)


@pytest.mark.parametrize(("changed", "named"), [({"learning_rate": 0.02}, "settings"), ({"seed": 1}, "seed")])
def test_a_checkpoint_of_something_else_is_not_used(
    changed: dict[str, float], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    capsys.readouterr()
    other = run(tmp_path, **changed)  # type: ignore[arg-type]
    assert f"is of other {named}: fine-tuning begins anew." in capsys.readouterr().out
    for file in (tmp_path / "scratch").iterdir():
        file.unlink()
    assert equal(other.tensors, run(tmp_path, **changed).tensors)  # type: ignore[arg-type]


def test_a_changed_picture_or_head_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path)
    (tmp_path / "0.png").write_bytes((tmp_path / "1.png").read_bytes())
    monkeypatch.setattr(tiny, "start", lambda: {"weight": torch.ones(16, 3), "bias": torch.zeros(3)})
    run(tmp_path)
    assert "is of other head, pictures" in capsys.readouterr().out


def test_finished_once_it_does_nothing_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(tmp_path)
    capsys.readouterr()
    again = run(tmp_path)
    assert "continuing after step 6 of 6" in capsys.readouterr().out
    assert equal(first.tensors, again.tensors)
    pd.testing.assert_frame_equal(first.history, again.history, check_dtype=False)


def test_out_of_memory_takes_smaller_parts_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = run(tmp_path)
    (tmp_path / "scratch" / "checkpoint.safetensors").unlink()
    forward, sizes = training.Network.forward, list[int]()

    def short_of_memory(self: training.Network, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        if len(sizes) in (2, 4):  # all of the second step; then the second half of it, after the first
            raise torch.OutOfMemoryError("no memory left")
        return forward(self, images)

    monkeypatch.setattr(training.Network, "forward", short_of_memory)
    done = run(tmp_path)
    said = capsys.readouterr().out
    assert [f"continuing with {images} images at a time" in said for images in (4, 2)] == [True, True]
    assert sizes == [8, 8, 4, 4, *[2] * 4, *[2] * 3, *[2] * 4, *[2] * 4, *[2] * 3]
    assert close(done.tensors, expected.tensors)


def test_one_image_too_many_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(self: training.Network, images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(training.Network, "forward", none_left)
    with pytest.raises(UserError, match="a single image does not fit"):
        run(tmp_path)


def test_a_learning_rate_at_which_the_loss_is_lost(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no number in epoch \d; set a lower finetune\.learning_rate"):
        run(tmp_path, learning_rate=1e30, epochs=3)


def test_gradient_checkpointing_changes_no_weight(tmp_path: Path) -> None:
    plain = run(tmp_path)
    assert equal(run(tmp_path, gradient_checkpointing=True).tensors, plain.tensors)


def test_batch_norms_keep_their_statistics_unless_they_are_unfrozen(tmp_path: Path) -> None:
    before = tiny.backbone().features.state_dict()
    for freeze in (True, False):
        after = run(tmp_path, freeze_batch_norm=freeze, epochs=3).tensors
        moved = [name for name in before if "running" in name and not torch.equal(before[name], after[name])]
        assert bool(moved) == (not freeze)
        assert not torch.equal(before["0.0.norm.weight"], after["0.0.norm.weight"])


@pytest.mark.parametrize(
    ("wanted", "device", "found"),
    [
        ("auto", "cpu", torch.float32),
        ("auto", "cuda", torch.bfloat16),
        ("float16", "cuda", torch.bfloat16),
        ("bfloat16", "cpu", torch.bfloat16),
    ],
)
def test_the_precision_of_a_step(wanted: str, device: str, found: torch.dtype) -> None:
    assert training.training_precision(wanted, device) == found  # type: ignore[arg-type]
