"""ImageNet's 1,000 classes by name, in the order of the logits, and those that are cats or dogs."""

from functools import cache

from torchvision.models import ResNet18_Weights

from pets.core.errors import UserError, nearest

SPECIES = {"cat": range(281, 286), "dog": range(151, 269)}  # pets: from tabby and from Chihuahua on


@cache
def class_names() -> tuple[str, ...]:
    """The names as torchvision has them. All differ, some only in case: a Cardigan is a dog."""
    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def class_places(name: str) -> list[int]:
    """The class's place among the logits, or a species' places; UserError with the nearest names."""
    names = class_names()
    if name in SPECIES:
        return list(SPECIES[name])
    if name not in names:
        raise UserError(
            f"params.yaml: ideal names '{name}', which is no class of ImageNet; "
            f"{nearest(name, [*names, *SPECIES])}"
        )
    return [names.index(name)]
