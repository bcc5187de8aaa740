"""The names that params.yaml may use for data sets, backbones, heads and sources, without importing them.

Importing torch, torchvision or timm costs seconds, and most stages need only the names. Checking a name
changes no output, so no stage depends on this module in dvc.yaml.
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
FINETUNED = "-finetuned"  # ends the name of a backbone that `finetune` trains, after its frozen twin's


def heads() -> tuple[str, ...]:
    """Every head: a module of `pets.heads`, named as the head."""
    return _modules("heads")


def sources() -> tuple[str, ...]:
    """Every source: a module of `pets.sources`, named as the source with underscores for dashes."""
    return tuple(name.replace("_", "-") for name in _modules("sources"))


def parts(backbone: str) -> list[str]:
    """The backbones that ``a+b`` joins, in order; of any other name, that name alone."""
    return backbone.split("+")


def frozen_twin(backbone: str) -> str | None:
    """The backbone that a fine-tuned one was trained from; of any other, None."""
    return backbone.removesuffix(FINETUNED) if backbone.endswith(FINETUNED) else None


@cache
def backbones() -> tuple[str, ...]:
    """Every backbone but timm's and joined ones, sorted.

    torchvision's are read from its source, where each builder is marked ``@register_model()`` and says which
    class lists its weights; a test compares them with what torchvision itself lists.
    """
    source = _source("torchvision")
    weights = {
        name: re.findall(r"^    (\w+) = Weights\(", body, re.MULTILINE)
        for name, body in re.findall(
            r"^class (\w+)\(WeightsEnum\):\n((?:    .*\n|\n)*)", source, re.MULTILINE
        )
    }
    marked = re.compile(
        r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(\s*\*, weights: Optional\[(\w+)\]", re.MULTILINE
    )
    found = set(LITE)
    for name, listed in marked.findall(source):
        variants = [*weights.get(listed, ()), *(VGG_LAYERS if name.startswith("vgg") else ())]
        found |= {name, *(f"{name}-{variant}" for variant in variants)}
    return tuple(sorted(found))


@cache
def timm_backbones() -> tuple[str, ...]:
    """timm's networks, as ``timm/<network>``, and their pretrained weights, as ``timm/<network>.<weights>``.

    They are read from timm's source, since importing it takes seconds. Where the source composes the names of
    weights, only the network is there.
    """
    source = _source("timm")
    networks = re.findall(r"^@register_model\ndef (\w+)\(", source, re.MULTILINE)
    weights = re.findall(r"""^\s+['"](\w+\.\w+)['"]\s*:""", source, re.MULTILINE)
    listed = [*networks, *(name for name in weights if not name.endswith(".untrained"))]
    return tuple(sorted(f"timm/{name}" for name in listed))


def check_dataset(name: str) -> None:
    """UserError where a data set can't be called so: its name is that of folders, stages and parameters."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name == RESERVED:
        raise UserError(
            f"params.yaml: a data set can't be called '{name}'; use letters, digits, - and _, "
            f"but not {RESERVED}."
        )


def check(content: Mapping[str, Any], where: str, kind: str, names: Iterable[str]) -> None:
    """UserError where ``names``, the value of ``where`` in params.yaml, hold an unknown name.

    ``kind``: "datasets", "backbones", "finetune" (backbones too), "heads" or "sources"; ``content`` is the
    whole of params.yaml.
    """
    if kind in ("backbones", "finetune"):
        for name in names:
            _check_backbone(where, name)
        return
    what, known = {
        "datasets": ("data set", tuple(content.get("datasets") or ())),
        "heads": ("head", heads()),
        "sources": ("source", sources()),
    }[kind]
    for name in names:
        if name not in known:
            raise UserError(f"params.yaml: {where} names the unknown {what} '{name}'; {nearest(name, known)}")


def _check_backbone(where: str, name: str) -> None:
    each = parts(name)
    joined = f", a part of '{name}'" if len(each) > 1 else ""
    for part in each:
        if each.count(part) > 1:
            raise UserError(f"params.yaml: {where} joins '{part}' with itself in '{name}'; name it once.")
        if "@" in part:
            raise UserError(
                f"params.yaml: {where} names '{part}', and DVC has no place for an @ in a stage's name; "
                f"write '{part.replace('@', '-')}'."
            )
        pretrained = frozen_twin(part) or part
        if not part.startswith("timm/"):
            known, stem = backbones(), pretrained
        else:
            known, stem = timm_backbones(), re.sub(r"-\d+$", "", pretrained)
            network = stem.partition(".")[0]
            if network in known and not any(each.startswith(f"{network}.") for each in known):
                stem = network  # its weights' names are not in the source: embed checks them
        if stem not in known:
            hint = nearest(stem, known)
            raise UserError(f"params.yaml: {where} names the unknown backbone '{part}'{joined}; {hint}")


def check_finetuned(finetune: list[str], backbones: list[str], heads: list[str]) -> None:
    """UserError where ``run.finetune`` doesn't fit the rest of ``run``, which says what to add."""
    for name in finetune:
        if len(parts(name)) > 1 or frozen_twin(name):
            kind = "joins backbones" if len(parts(name)) > 1 else "is fine-tuned"
            raise UserError(
                f"params.yaml: run.finetune names '{name}', which {kind}; name pretrained ones, each alone."
            )
        wanted = {"run.backbones": [name, f"{name}{FINETUNED}"], "run.heads": ["linear"]}
        listed = {"run.backbones": backbones, "run.heads": heads}
        if missing := [
            (key, each) for key, all_ in wanted.items() for each in all_ if each not in listed[key]
        ]:
            added = " and ".join(f"'{each}' to {key}" for key, each in missing)
            raise UserError(f"params.yaml: run.finetune names '{name}'; add {added}, or take it out.")
    for backbone in backbones:
        twins = [twin for part in parts(backbone) if (twin := frozen_twin(part))]
        if twins and len(parts(backbone)) > 1:
            raise UserError(
                f"params.yaml: run.backbones joins '{backbone}', and a fine-tuned backbone can't be a part; "
                "name it alone."
            )
        if twins and twins[0] not in finetune:
            raise UserError(
                f"params.yaml: run.backbones names '{backbone}'; add '{twins[0]}' to run.finetune, or take "
                "it out."
            )


def _source(package: str) -> str:
    """The source of all ``<package>.models``, without importing any."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"{package} is not installed; `make setup` installs everything that is needed.")
    modules = sorted((Path(spec.origin).parent / "models").glob("*.py"))
    return "\n".join(module.read_text("utf-8") for module in modules)


def _modules(package: str) -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in (PETS / package).glob("*.py") if not file.stem.startswith("_")))
