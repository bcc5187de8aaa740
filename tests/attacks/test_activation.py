import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stages.attacks.activation import Method, ascend, glimpse, variation
from stages.attacks.parametrization import Parametrization
from stages.images.preprocessing import Preprocessing

GREY = Preprocessing(32, 28, 32, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
METHOD = Method(
    coarse_steps=12,
    fine_steps=4,
    learning_rate=0.1,
    total_variation=0.02,
    decay=0.001,
    multi_scale=True,
    jitter=True,
    rotate_and_scale=True,
    fourier=True,
    decorrelated_colour=True,
)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Ten classes, each of them the mean of what one random filter answers to."""
    filters = nn.Conv2d(3, 10, 5, stride=2, bias=False)
    weights = torch.randn(filters.weight.shape, generator=torch.Generator().manual_seed(0))
    filters.weight.data = weights - weights.mean((1, 2, 3), keepdim=True)
    return nn.Sequential(filters, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).requires_grad_(False)


def height(network: nn.Module, picture: torch.Tensor, of: int) -> float:
    """The class's log-probability where no gradient was taken: without transforms, through the real crop."""
    return float(network(GREY.normalize(GREY.geometry(picture))[None]).log_softmax(1)[0, of])


def climb(
    network: Callable[[torch.Tensor], torch.Tensor], classes: Sequence[int], frames: int = 0, **other: object
) -> list[torch.Tensor]:
    method = METHOD.model_copy(update=other)
    found = ascend(network, [[each] for each in classes], GREY, method, seed=3, device="cpu", frames=frames)
    assert not any(each.given_up for each in found)
    return [each.picture for each in found]


def test_every_class_is_climbed_and_no_other(network: nn.Module) -> None:
    pictures = climb(network, range(10))
    heights = torch.tensor([[height(network, picture, of) for of in range(10)] for picture in pictures])
    assert (heights.argmax(0) == torch.arange(10)).all()  # no other ideal is as much of a class as its own


def test_of_several_classes_any_will_do(network: nn.Module) -> None:
    """Two classes as one target: as sure of the pair as of either alone, and what is climbed is their sum."""
    both = ascend(network, [[2, 7]], GREY, METHOD, seed=3, device="cpu")[0].picture
    pair = torch.tensor([2, 7])

    def sum_of_both(picture: torch.Tensor) -> float:
        return float(network(GREY.normalize(GREY.geometry(picture))[None]).softmax(1)[0, pair].sum())

    either = [sum_of_both(picture) for picture in climb(network, [2, 7])]
    assert sum_of_both(both) >= 0.98 * max(either)
    assert all(not torch.equal(both, picture) for picture in climb(network, [2, 7]))


@pytest.mark.parametrize(
    "switch", ["multi_scale", "jitter", "rotate_and_scale", "fourier", "decorrelated_colour"]
)
def test_every_switch_does_something_and_still_climbs(network: nn.Module, switch: str) -> None:
    on, off = climb(network, [4])[0], climb(network, [4], **{switch: False})[0]
    assert not torch.equal(on, off)
    noise = climb(network, [4], coarse_steps=0, fine_steps=1, learning_rate=1e-9)[0]
    assert height(network, off, 4) > height(network, noise, 4) + 0.1


def test_total_variation_smooths(network: nn.Module) -> None:
    rough, smooth = (climb(network, [4], total_variation=weight)[0] for weight in (0.0, 3.0))
    assert variation(smooth[None]) < 0.8 * variation(rough[None])


def test_the_same_inputs_give_the_same_bytes_and_frames_change_nothing(network: nn.Module) -> None:
    first, again = climb(network, [1, 2]), climb(network, [1, 2], frames=5)
    assert all(map(torch.equal, first, again))


def test_frames_lead_from_noise_to_the_result(network: nn.Module) -> None:
    ideal = ascend(network, [[1]], GREY, METHOD, seed=3, device="cpu", frames=5)[0]
    assert ideal.frames.shape == (5, 3, 32, 32)
    assert torch.equal(ideal.frames[-1], (255 * ideal.picture).round().byte())
    assert ideal.frames[0].float().std() < ideal.frames[-1].float().std()


def test_a_loss_that_is_not_a_number_costs_one_picture(network: nn.Module) -> None:
    calls = 0

    def breaking(images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        scores = network(images)
        if calls == 5:
            scores = scores * torch.where(torch.arange(len(images)) == 1, math.nan, 1.0)[:, None]
        return scores

    found = ascend(breaking, [[1], [2], [3]], GREY, METHOD, seed=3, device="cpu")
    assert [each.given_up for each in found] == [False, True, False]
    assert all(each.picture.isfinite().all() for each in found)
    whole = climb(network, [1, 2, 3])
    assert torch.equal(found[0].picture, whole[0])
    assert torch.equal(found[2].picture, whole[2])


def test_taken_apart_begins_with_nothing_and_ends_with_the_method() -> None:
    methods = METHOD.adding_up()
    assert methods[-1][1] == METHOD
    alone = methods[0][1]
    assert not any((alone.fourier, alone.jitter, alone.multi_scale, alone.total_variation, alone.decay))
    assert len(methods) == 8
    assert len({str(method) for _, method in methods}) == 8
    fewer = METHOD.model_copy(update={"jitter": False}).adding_up()
    assert "+ random shifts" not in dict(fewer)


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(2, 9), width=st.integers(2, 9))
@settings(deadline=None, max_examples=20)
def test_variation_is_the_mean_length_of_the_slope(seed: int, height: int, width: int) -> None:
    picture = np.random.default_rng(seed).random((1, 3, height, width))
    slopes = [
        math.hypot(
            picture[0, channel, y + 1, x] - picture[0, channel, y, x],
            picture[0, channel, y, x + 1] - picture[0, channel, y, x],
        )
        for channel in range(3)
        for y in range(height - 1)
        for x in range(width - 1)
    ]
    assert float(variation(torch.from_numpy(picture))) == pytest.approx(np.mean(slopes), abs=1e-4)


@given(seed=st.integers(0, 2**32 - 1), coarse=st.integers(4, 15).map(lambda half: 2 * half))
@settings(deadline=None, max_examples=20)
def test_a_coarse_picture_is_the_low_frequencies_of_the_whole(seed: int, coarse: int) -> None:
    free = Parametrization(1, 32, fourier=True, decorrelated=False, seed=seed, device="cpu")
    with torch.no_grad():
        whole, small = torch.fft.fft2(free.values(32)), torch.fft.fft2(free.values(coarse))
    low = coarse // 2 - 1  # the highest frequency stands for both signs on the smaller grid
    ours, theirs = small[..., : low + 1, : low + 1] / coarse**2, whole[..., : low + 1, : low + 1] / 32**2
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-3)


def test_without_transforms_the_network_sees_the_centre_crop() -> None:
    picture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    still = METHOD.model_copy(update={"jitter": False, "rotate_and_scale": False})
    seen = glimpse(picture, GREY, still, torch.Generator())
    torch.testing.assert_close(seen, GREY.geometry(picture), atol=1e-5, rtol=0)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_what_the_network_sees_stays_a_picture(seed: int) -> None:
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    seen = glimpse(picture, GREY, METHOD, torch.Generator().manual_seed(seed))
    assert seen.shape == (1, 3, 28, 28)
    assert picture.min() - 1e-6 <= seen.min()
    assert seen.max() <= picture.max() + 1e-6
