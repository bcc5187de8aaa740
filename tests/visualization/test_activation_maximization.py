import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pets.images.preprocessing import Preprocessing
from pets.visualization.activation_maximization import Method, maximize, random_transform, total_variation
from pets.visualization.parametrization import Parametrization

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
    """Ten classes: the score of each is the mean response of one random filter."""
    filters = nn.Conv2d(3, 10, 5, stride=2, bias=False)
    weights = torch.randn(filters.weight.shape, generator=torch.Generator().manual_seed(0))
    filters.weight.data = weights - weights.mean((1, 2, 3), keepdim=True)
    return nn.Sequential(filters, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).requires_grad_(False)


def log_probability(network: nn.Module, picture: torch.Tensor, place: int) -> float:
    """The class's, computed otherwise than in the ascent: without transforms, by the real crop."""
    return float(network(GREY.normalize(GREY.geometry(picture))[None]).log_softmax(1)[0, place])


def ideals(
    network: Callable[[torch.Tensor], torch.Tensor], classes: Sequence[int], frames: int = 0, **other: object
) -> list[torch.Tensor]:
    method = METHOD.model_copy(update=other)
    found = maximize(network, [[each] for each in classes], GREY, method, seed=3, device="cpu", frames=frames)
    assert not any(each.non_finite for each in found)
    return [each.picture for each in found]


def test_each_ideal_is_the_best_of_all_for_its_class(network: nn.Module) -> None:
    pictures = ideals(network, range(10))
    values = torch.tensor(
        [[log_probability(network, picture, at) for at in range(10)] for picture in pictures]
    )
    assert (values.argmax(0) == torch.arange(10)).all()


def test_several_classes_count_as_one(network: nn.Module) -> None:
    """Two classes as one target: their joint probability is at least that of either class's own ideal."""
    both = maximize(network, [[2, 7]], GREY, METHOD, seed=3, device="cpu")[0].picture
    pair = torch.tensor([2, 7])

    def joint_probability(picture: torch.Tensor) -> float:
        return float(network(GREY.normalize(GREY.geometry(picture))[None]).softmax(1)[0, pair].sum())

    either = [joint_probability(picture) for picture in ideals(network, [2, 7])]
    assert joint_probability(both) >= 0.98 * max(either)
    assert all(not torch.equal(both, picture) for picture in ideals(network, [2, 7]))


@pytest.mark.parametrize(
    "switch", ["multi_scale", "jitter", "rotate_and_scale", "fourier", "decorrelated_colour"]
)
def test_every_switch_changes_the_ideal_and_is_optional(network: nn.Module, switch: str) -> None:
    on, off = ideals(network, [4])[0], ideals(network, [4], **{switch: False})[0]
    assert not torch.equal(on, off)
    noise = ideals(network, [4], coarse_steps=0, fine_steps=1, learning_rate=1e-9)[0]
    assert log_probability(network, off, 4) > log_probability(network, noise, 4) + 0.1


def test_the_weight_of_total_variation_smooths(network: nn.Module) -> None:
    rough, smooth = (ideals(network, [4], total_variation=weight)[0] for weight in (0.0, 3.0))
    assert total_variation(smooth[None]) < 0.8 * total_variation(rough[None])


def test_the_same_inputs_give_the_same_bytes_and_frames_change_nothing(network: nn.Module) -> None:
    first, again = ideals(network, [1, 2]), ideals(network, [1, 2], frames=5)
    assert all(map(torch.equal, first, again))


def test_frames_lead_from_noise_to_the_result(network: nn.Module) -> None:
    ideal = maximize(network, [[1]], GREY, METHOD, seed=3, device="cpu", frames=5)[0]
    assert ideal.frames.shape == (5, 3, 32, 32)
    assert torch.equal(ideal.frames[-1], (255 * ideal.picture).round().byte())
    assert ideal.frames[0].float().std() < ideal.frames[-1].float().std()


def test_a_non_finite_loss_stops_only_its_own_picture(network: nn.Module) -> None:
    calls = 0

    def breaking(images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        scores = network(images)
        if calls == 5:
            scores = scores * torch.where(torch.arange(len(images)) == 1, math.nan, 1.0)[:, None]
        return scores

    found = maximize(breaking, [[1], [2], [3]], GREY, METHOD, seed=3, device="cpu")
    assert [each.non_finite for each in found] == [False, True, False]
    assert all(each.picture.isfinite().all() for each in found)
    alone = ideals(network, [1, 2, 3])
    assert torch.equal(found[0].picture, alone[0])
    assert torch.equal(found[2].picture, alone[2])


def test_the_ablation_goes_from_gradient_ascent_alone_to_the_method() -> None:
    methods = METHOD.ablation()
    assert methods[-1][1] == METHOD
    alone = methods[0][1]
    assert not any((alone.fourier, alone.jitter, alone.multi_scale, alone.total_variation, alone.decay))
    assert len(methods) == 8
    assert len({str(method) for _, method in methods}) == 8
    fewer = METHOD.model_copy(update={"jitter": False}).ablation()
    assert "+ random shifts" not in dict(fewer)


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(2, 9), width=st.integers(2, 9))
@settings(deadline=None, max_examples=20)
def test_total_variation_is_the_mean_length_of_the_gradient(seed: int, height: int, width: int) -> None:
    picture = np.random.default_rng(seed).random((1, 3, height, width))
    lengths = [
        math.hypot(
            picture[0, channel, y + 1, x] - picture[0, channel, y, x],
            picture[0, channel, y, x + 1] - picture[0, channel, y, x],
        )
        for channel in range(3)
        for y in range(height - 1)
        for x in range(width - 1)
    ]
    assert float(total_variation(torch.from_numpy(picture))) == pytest.approx(np.mean(lengths), abs=1e-4)


@given(seed=st.integers(0, 2**32 - 1), coarse=st.integers(4, 15).map(lambda half: 2 * half))
@settings(deadline=None, max_examples=20)
def test_a_coarse_picture_has_the_low_frequencies_of_the_full_one(seed: int, coarse: int) -> None:
    picture = Parametrization(1, 32, fourier=True, decorrelated=False, seed=seed, device="cpu")
    with torch.no_grad():
        full, small = torch.fft.fft2(picture.values(32)), torch.fft.fft2(picture.values(coarse))
    low = coarse // 2 - 1  # the highest frequency stands for both signs on the smaller grid
    ours, theirs = small[..., : low + 1, : low + 1] / coarse**2, full[..., : low + 1, : low + 1] / 32**2
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-3)


def test_without_random_transforms_the_input_is_the_centre_crop() -> None:
    picture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    still = METHOD.model_copy(update={"jitter": False, "rotate_and_scale": False})
    inputs = random_transform(picture, GREY, still, torch.Generator())
    torch.testing.assert_close(inputs, GREY.geometry(picture), atol=1e-5, rtol=0)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_a_transformed_picture_stays_within_its_range(seed: int) -> None:
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    inputs = random_transform(picture, GREY, METHOD, torch.Generator().manual_seed(seed))
    assert inputs.shape == (1, 3, 28, 28)
    assert picture.min() - 1e-6 <= inputs.min()
    assert inputs.max() <= picture.max() + 1e-6
