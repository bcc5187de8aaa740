"""ImageNet's 1,000 classes by name, in the order of every backbone's logits."""

from functools import cache

from torchvision.models import ResNet18_Weights

from stages.errors import UserError, nearest


@cache
def class_names() -> tuple[str, ...]:
    """The names as torchvision states them. All differ, some only in case: a Cardigan is a dog."""
    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def class_index(name: str) -> int:
    """The class's place among the logits; UserError with the nearest names where there is none."""
    names = class_names()
    if name not in names:
        raise UserError(
            f"params.yaml: ideal names '{name}', which is no class of ImageNet; {nearest(name, names)}"
        )
    return names.index(name)
