"""Robust accuracy that another attack beats is marked as masked."""

import pandas as pd
import pytest

from pets.attacks.masking import NOISE, by_reference, by_transfer


def curve(plain: list[float], strong: list[float], images: int = 20) -> pd.DataFrame:
    """At 0/255, 1/255, 2/255, and so on."""
    return pd.DataFrame(
        [
            {"attack": name, "epsilon": level / 255, "images": images, "robust": robust}
            for name, values in (("PGD", plain), ("APGD", strong))
            for level, robust in enumerate(values)
        ]
    )


def transfer(fooled: dict[str, float], epsilon: float = 2 / 255, images: int = 20) -> pd.DataFrame:
    """Pictures of each source, tried on resnet18; the interval is a tenth wide on each side."""
    return pd.DataFrame(
        [
            {"source": source, "target": "resnet18", "epsilon": epsilon, "images": images, "fooled": share,
             "low": max(0.0, share - 0.1), "high": min(1.0, share + 0.1)}
            for source, share in fooled.items()
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plain", "strong", "epsilons"),
    [
        ([1.0, 1.0, 1.0], [1.0, 0.0, 0.0], ["1/255", "2/255"]),
        ([0.9, 0.9, 0.1], [0.9, 0.7, 0.1], ["1/255"]),
        ([0.9, 0.5, 0.1], [0.9, 0.4, 0.0], []),  # by two images
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], []),
    ],
)
def test_by_the_reference_where_it_fools_over_two_images_more(
    plain: list[float], strong: list[float], epsilons: list[str]
) -> None:
    assert [each.epsilon for each in by_reference(curve(plain, strong))] == epsilons


@pytest.mark.parametrize(
    ("fooled", "found"),
    [
        ({"resnet18": 0.0, "vgg16": 0.5, NOISE: 0.0}, ["pictures made on vgg16"]),
        ({"resnet18": 0.1, "vgg16": 0.0, NOISE: 0.3}, [NOISE]),
        ({"resnet18": 0.9, "vgg16": 1.0, NOISE: 0.0}, []),  # by two images
        ({"resnet18": 1.0, "vgg16": 0.3, NOISE: 0.1}, []),
    ],
)
def test_by_pictures_that_were_made_without_the_network(fooled: dict[str, float], found: list[str]) -> None:
    flat = curve([1.0, 0.5, 0.0], [1.0, 0.5, 0.0])
    masked = by_transfer(transfer(fooled), flat, "resnet18")
    assert [each.attack for each in masked] == found
    assert all(each.claim == "pictures made on resnet18 itself" for each in masked)


@pytest.mark.parametrize(
    ("epsilon", "robust", "count"),
    [
        (2 / 255, [1.0, 1.0, 1.0], 1),
        (1.5 / 255, [0.8, 0.8, 0.8], 1),  # the next larger epsilon; of what was classified correctly
        (2 / 255, [1.0, 0.5, 0.3], 0),  # within the interval
        (3 / 255, [1.0, 1.0, 1.0], 0),  # the curve says nothing there
    ],
)
def test_by_the_networks_own_pictures_where_the_curve_promises_more(
    epsilon: float, robust: list[float], count: int
) -> None:
    masked = by_transfer(transfer({"resnet18": 0.8}, epsilon), curve(robust, robust), "resnet18")
    assert [each.claim for each in masked] == count * ["PGD and APGD"]


def test_nothing_is_said_of_a_network_that_classified_nothing_correctly() -> None:
    assert by_transfer(transfer({"resnet18": float("nan")}, images=0), curve([0.0], [0.0]), "resnet18") == []
