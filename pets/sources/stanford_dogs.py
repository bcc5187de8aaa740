"""Stanford Dogs: 120 breeds, 20,580 photographs, all of them from ImageNet.

Khosla, Jayadevaprakash, Yao, Fei-Fei: Novel Dataset for Fine-Grained Image Categorization, FGVC 2011.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from scipy.io import loadmat

from pets.core.params import Section
from pets.sources import Picture
from pets.sources.archives import Archive
from pets.sources.lists import checked, existing, fetch_and_unpack

LABEL_NAME = "breed"
SYNTHETIC = False
FROM_IMAGENET = True
URL = "http://vision.stanford.edu/aditya86/ImageNetDogs"


class Settings(Section):
    """An entry under ``datasets`` in params.yaml."""

    source: Literal["stanford-dogs"]
    images: Archive = Archive(url=f"{URL}/images.tar", md5="1bb1f2a596ae7057f99d7d75860002ef")
    lists: Archive = Archive(url=f"{URL}/lists.tar", md5="edbb9f16854ec66506b5f09b583e0656")


def fetch(settings: Settings, raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Unpack ``Images/`` and the lists. See `Source.fetch`."""
    return fetch_and_unpack({"images": settings.images, "lists": settings.lists}, raw, archives)


def pictures(raw: Path) -> Iterator[Picture]:
    """The pictures of ``train_list.mat`` and ``test_list.mat``. See `Source.pictures`."""
    listed = (
        Picture(name, f"Images/{name}", _breed(name), "dog", split)
        for split in ("train", "test")
        for name in _names(raw / f"{split}_list.mat")
    )
    return checked(listed, raw)


def _names(file: Path) -> Iterator[str]:
    """Such as ``n02085620-Chihuahua/n02085620_5927.jpg``."""
    return (str(cell[0]) for cell in loadmat(existing(file))["file_list"].flat)


def _breed(name: str) -> str:
    return name.partition("/")[0].partition("-")[2]
