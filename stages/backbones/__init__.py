"""Pretrained networks as feature extractors: which there are (here, without torch) and how each is built.

A name is one of torchvision's classification networks (``resnet50``), an EfficientNet-Lite
(``efficientnet_lite0``), or a VGG with another layer's features (``vgg16-4096``).
"""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from stages.errors import UserError

LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
VGG_LAYERS = (
    "25088",
    "4096",
)  # beside the 512 pooled ones: flattened, and the classifier's last hidden layer


@cache
def names() -> tuple[str, ...]:
    """Every backbone that can be asked for, sorted.

    torchvision's are read from its source, where each builder is marked ``@register_model()``, because
    importing torchvision costs seconds and most doors need only the names; a test compares the two.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise UserError("torchvision is not installed; `make setup` installs everything that is needed.")
    marked = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
    sources = (Path(spec.origin).parent / "models").glob("*.py")
    found = {name for source in sources for name in marked.findall(source.read_text("utf-8"))}
    variants = {f"{name}-{layer}" for name in found if name.startswith("vgg") for layer in VGG_LAYERS}
    return tuple(sorted({*found, *variants, *LITE}))
