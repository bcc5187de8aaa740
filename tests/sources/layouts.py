"""Every source's archives, a few pictures small, in the official layouts."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from pets import sources
from tests.conftest import md5


def picture(number: int) -> bytes:
    """A JPEG that differs for each number up to 4095."""
    target = io.BytesIO()
    Image.new("RGB", (12, 8), (number % 16 * 16, number // 16 % 16 * 16, number // 256 * 16)).save(
        target, "JPEG"
    )
    return target.getvalue()


def pack(file: Path, contents: dict[str, bytes]) -> dict[str, str]:
    """Write a zip or a tar, by its suffix; returns its url and md5 as params.yaml has them."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as packed:
            for name, data in contents.items():
                packed.writestr(name, data)
    else:
        with tarfile.open(file, "w:gz" if file.suffix in (".gz", ".tgz") else "w") as tar:
            for name, data in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return {"url": str(file), "md5": md5(file)}


def pictures(*names: str) -> dict[str, bytes]:
    return {name: picture(number) for number, name in enumerate(names)}


def mat(file: Path, content: dict[str, Any]) -> bytes:
    savemat(file, content)
    return file.read_bytes()


def listed(*names: str) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def oxford_iiit_pet(folder: Path) -> dict[str, Any]:
    names = ("Bengal_1", "Bengal_2", "pug_1", "pug_2")
    lists = {
        "annotations/trainval.txt": b"Bengal_1 1 1 1\npug_1 2 2 1\n",
        "annotations/test.txt": b"Bengal_2 1 1 1\npug_2 2 2 1\n",
    }
    return {
        "images": pack(folder / "images.tar.gz", pictures(*(f"images/{name}.jpg" for name in names))),
        "annotations": pack(folder / "annotations.tar.gz", lists),
    }


def sample(folder: Path) -> dict[str, Any]:
    return {"per_breed": 4, "size": 64, "seed": 7}


def image_folder(folder: Path) -> dict[str, Any]:
    names = ("cat/1.jpg", "cat/old/1.jpg", "dog/1.jpg", "dog/2.png")
    return {"archive": pack(folder / "mine.tar", pictures(*(f"mine/{name}" for name in names)))}


def cats_vs_dogs(folder: Path) -> dict[str, Any]:
    good = pictures(*(f"PetImages/{kind}/{number}.jpg" for kind in ("Cat", "Dog") for number in range(3)))
    bad = {
        "PetImages/Cat/666.jpg": b"",
        "PetImages/Dog/Thumbs.db": b"no picture",
        "readme[1].txt": b"read me",
    }
    return {"archive": pack(folder / "petimages.zip", good | bad)}


def flowers102(folder: Path) -> dict[str, Any]:
    labels: dict[str, Any] = {"labels": np.array([[1, 1, 102, 77, 1, 102, 77]], np.uint8)}
    splits: dict[str, Any] = {"trnid": [[5, 3]], "valid": [[2, 7]], "tstid": [[6, 1, 4]]}
    mats = {"labels": ("imagelabels.mat", labels), "splits": ("setid.mat", splits)}
    for name, content in mats.values():
        mat(folder / name, content)
    return {
        "images": pack(folder / "102flowers.tgz", pictures(*(f"jpg/image_{n:05d}.jpg" for n in range(1, 8)))),
        **{key: {"url": str(folder / name), "md5": md5(folder / name)} for key, (name, _) in mats.items()},
    }


def dtd(folder: Path) -> dict[str, Any]:
    names = [f"{kind}/{kind}_{number:04d}.jpg" for kind in ("banded", "zigzagged") for number in range(3)]
    lists = {
        f"dtd/labels/{split}{partition}.txt": listed(*names[(place + partition) % 3 :: 3])
        for place, split in enumerate(("train", "val", "test"))
        for partition in (1, 2)
    }
    images = pictures(*(f"dtd/images/{name}" for name in names))
    return {"archive": pack(folder / "dtd-r1.0.1.tar.gz", images | lists)}


def eurosat(folder: Path) -> dict[str, Any]:
    names = (f"2750/{kind}/{kind}_{number}.jpg" for kind in ("AnnualCrop", "River") for number in (1, 2))
    return {"archive": pack(folder / "EuroSAT.zip", pictures(*names))}


def food101(folder: Path) -> dict[str, Any]:
    names = {kind: [f"{kind}/{number}" for number in (17, 4, 256)] for kind in ("apple_pie", "waffles")}
    lists = {
        "food-101/meta/train.json": json.dumps({kind: each[:2] for kind, each in names.items()}).encode(),
        "food-101/meta/test.json": json.dumps({kind: each[2:] for kind, each in names.items()}).encode(),
    }
    images = pictures(*(f"food-101/images/{name}.jpg" for each in names.values() for name in each))
    return {"archive": pack(folder / "food-101.tar.gz", images | lists)}


def fgvc_aircraft(folder: Path) -> dict[str, Any]:
    data = "fgvc-aircraft-2013b/data"
    lists = {
        f"{data}/variants.txt": listed("707-320", "Model B200"),
        f"{data}/images_variant_train.txt": listed("0000001 707-320", "0000002 Model B200"),
        f"{data}/images_variant_val.txt": listed("0000003 707-320"),
        f"{data}/images_variant_test.txt": listed("0000004 Model B200", "0000005 707-320"),
    }
    images = pictures(*(f"{data}/images/{number:07d}.jpg" for number in range(1, 6)))
    return {"archive": pack(folder / "fgvc-aircraft-2013b.tar.gz", images | lists)}


def stanford_dogs(folder: Path) -> dict[str, Any]:
    names = [
        f"{synset}-{breed}/{synset}_{number}.jpg"
        for synset, breed in (("n02085620", "Chihuahua"), ("n02086240", "Shih-Tzu"))
        for number in (7, 15)
    ]
    lists = {
        f"{split}_list.mat": mat(
            folder / "list.mat", {"file_list": np.array([[name] for name in names[first::2]], dtype=object)}
        )
        for first, split in enumerate(("train", "test"))
    }
    return {
        "images": pack(folder / "images.tar", pictures(*(f"Images/{name}" for name in names))),
        "lists": pack(folder / "lists.tar", lists),
    }


LAYOUTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        *(oxford_iiit_pet, sample, image_folder, cats_vs_dogs),
        *(flowers102, dtd, eurosat, food101, fgvc_aircraft, stanford_dogs),
    )
}


def settings(name: str, folder: Path) -> Any:
    """The settings of a source whose small archives are written to ``folder``."""
    return sources.load(name).Settings.model_validate({"source": name, **LAYOUTS[name](folder)})
