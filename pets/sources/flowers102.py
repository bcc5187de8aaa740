"""Oxford 102 Flowers: 102 kinds of flower, 40 to 258 photographs each, only ten of each for training.

Nilsback, Zisserman: Automated Flower Classification over a Large Number of Classes, ICVGIP 2008.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from scipy.io import loadmat

from pets.core.params import Section
from pets.sources import Picture
from pets.sources.archives import Archive, fetch_archive
from pets.sources.lists import checked, existing, fetch_and_unpack

LABEL_NAME = "flower"
SYNTHETIC = False
FROM_IMAGENET = False
URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
SPLITS = {"trnid": "train", "valid": "val", "tstid": "test"}  # as setid.mat calls them

# The names in the order of imagelabels.mat, which has only numbers.
NAMES = """
    pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon
    orchid, bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle,
    yellow iris, globe-flower, purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire
    lily, pincushion flower, fritillary, red ginger, grape hyacinth, corn poppy, prince of wales feathers,
    stemless gentian, artichoke, sweet william, carnation, garden phlox, love in the mist, mexican aster,
    alpine sea holly, ruby-lipped cattleya, cape flower, great masterwort, siam tulip, lenten rose, barbeton
    daisy, daffodil, sword lily, poinsettia, bolero deep blue, wallflower, marigold, buttercup, oxeye daisy,
    common dandelion, petunia, wild pansy, primula, sunflower, pelargonium, bishop of llandaff, gaura,
    geranium, orange dahlia, pink-yellow dahlia?, cautleya spicata, japanese anemone, black-eyed susan,
    silverbush, californian poppy, osteospermum, spring crocus, bearded iris, windflower, tree poppy, gazania,
    azalea, water lily, rose, thorn apple, morning glory, passion flower, lotus, toad lily, anthurium,
    frangipani, clematis, hibiscus, columbine, desert-rose, tree mallow, magnolia, cyclamen, watercress, canna
    lily, hippeastrum, bee balm, ball moss, foxglove, bougainvillea, camellia, mallow, mexican petunia,
    bromelia, blanket flower, trumpet creeper, blackberry lily
"""
FLOWERS = " ".join(NAMES.split()).split(", ")


class Settings(Section):
    """An entry under ``datasets`` in params.yaml."""

    source: Literal["flowers102"]
    images: Archive = Archive(url=f"{URL}/102flowers.tgz", md5="52808999861908f626f3c1f4e79d11fa")
    labels: Archive = Archive(url=f"{URL}/imagelabels.mat", md5="e0620be6f572b9609742df49c70aed4d")
    splits: Archive = Archive(url=f"{URL}/setid.mat", md5="a5357ecc9cb78c4bef273ce3793fc85c")


def fetch(settings: Settings, raw: Path, archives: Path) -> list[dict[str, Any]]:
    """Unpack ``jpg/``, and put ``imagelabels.mat`` and ``setid.mat`` beside it. See `Source.fetch`."""
    described = fetch_and_unpack({"images": settings.images}, raw, archives)
    for archive, name in ((settings.labels, "imagelabels.mat"), (settings.splits, "setid.mat")):
        file = fetch_archive(archive, archives)
        shutil.copyfile(file, raw / name)
        described.append(archive.described(name, file))
    return described


def pictures(raw: Path) -> Iterator[Picture]:
    """The pictures of ``setid.mat``, which numbers them from 1. See `Source.pictures`."""
    labels = loadmat(existing(raw / "imagelabels.mat"))["labels"].ravel()
    numbers = loadmat(existing(raw / "setid.mat"))
    listed = (
        Picture(f"image_{n:05d}.jpg", f"jpg/image_{n:05d}.jpg", FLOWERS[labels[n - 1] - 1], None, split)
        for key, split in SPLITS.items()
        for n in map(int, numbers[key].ravel())
    )
    return checked(listed, raw)
