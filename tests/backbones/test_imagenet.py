"""ImageNet's classes by name, and every backbone's own classifier for them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pets.backbones.base import NoClassifierError
from pets.backbones.build import build
from pets.backbones.imagenet import class_names, class_places
from pets.core.errors import UserError


def test_a_thousand_distinct_names() -> None:
    assert len(set(class_names())) == 1000
    places = [class_places(name) for name in ("tabby", "zebra", "golden retriever")]
    assert places == [[281], [340], [207]]


def test_a_species_is_all_its_classes() -> None:
    names = class_names()
    cats = [names[place] for place in class_places("cat")]
    assert cats == ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"]
    dogs = [names[place] for place in class_places("dog")]
    assert (dogs[0], dogs[-1], len(dogs)) == ("Chihuahua", "Mexican hairless", 118)


@pytest.mark.parametrize(
    ("name", "near"),
    [("zebre", "'zebra'"), ("golden retreiver", "'golden retriever'"), ("Persian", "'Persian cat'")],
)
def test_an_unknown_class_is_reported_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(
        UserError, match=f"'{name}', which is no class of ImageNet; did you mean .*{near}"
    ) as error:
        class_places(name)
    assert "\n" not in str(error.value)


def test_a_backbone_without_such_a_classifier_is_reported() -> None:
    backbone = replace(build("efficientnet_lite0", Path("weights")), imagenet=None)
    with pytest.raises(NoClassifierError, match="efficientnet_lite0 was trained without ImageNet") as error:
        backbone.as_classifier()
    assert "\n" not in str(error.value)


def test_its_features_become_the_logits() -> None:
    backbone = build("efficientnet_lite0", Path("weights"))
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    assert backbone.imagenet is not None
    with torch.inference_mode():
        expected = backbone.imagenet(images)
        torch.testing.assert_close(backbone.as_classifier().features(images), expected)
