"""The names that params.yaml may use for data sets, backbones, heads and sources, without importing them.

Importing torch or torchvision costs seconds, and most stages need only the names. Checking a name changes no
output, so no stage depends on this module in dvc.yaml.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pets.core.errors import UserError, nearest

RESERVED = "imagenet"  # ideals/imagenet is where the ideals of ImageNet's classes are
PETS = Path(__file__).parent.parent
LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
VGG_LAYERS = ("25088", "4096")  # besides the 512 pooled features: flattened, and the last hidden layer


def heads() -> tuple[str, ...]:
    """Every head: a module of `pets.heads`, named as the head."""
    return _modules("heads")


def sources() -> tuple[str, ...]:
    """Every source: a module of `pets.sources`, named as the source with underscores for dashes."""
    return tuple(name.replace("_", "-") for name in _modules("sources"))


@cache
def backbones() -> tuple[str, ...]:
    """Every backbone, sorted.

    torchvision's are read from its source, where each builder is marked ``@register_model()``; a test
    compares them with what torchvision itself lists.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise UserError("torchvision is not installed; `make setup` installs everything that is needed.")
    marked = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
    modules = (Path(spec.origin).parent / "models").glob("*.py")
    found = {name for module in modules for name in marked.findall(module.read_text("utf-8"))}
    variants = {f"{name}-{layer}" for name in found if name.startswith("vgg") for layer in VGG_LAYERS}
    return tuple(sorted({*found, *variants, *LITE}))


def check_dataset(name: str) -> None:
    """UserError where a data set can't be called so: its name is that of folders, stages and parameters."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name == RESERVED:
        raise UserError(
            f"params.yaml: a data set can't be called '{name}'; use letters, digits, - and _, "
            f"but not {RESERVED}."
        )


def check(content: Mapping[str, Any], where: str, kind: str, names: Iterable[str]) -> None:
    """UserError where ``names``, the value of ``where`` in params.yaml, hold an unknown name.

    ``kind``: "datasets", "backbones", "heads" or "sources"; ``content`` is the whole of params.yaml.
    """
    what, known = {
        "datasets": ("data set", tuple(content.get("datasets") or ())),
        "backbones": ("backbone", backbones()),
        "heads": ("head", heads()),
        "sources": ("source", sources()),
    }[kind]
    for name in names:
        if name not in known:
            raise UserError(f"params.yaml: {where} names the unknown {what} '{name}'; {nearest(name, known)}")


def _modules(package: str) -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in (PETS / package).glob("*.py") if not file.stem.startswith("_")))
