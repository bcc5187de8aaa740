"""Copies of photographs are found whatever was done to them, and other photographs are not."""

import io
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pets.audit import duplicates
from pets.audit.alignment import align, keypoints, mirrored
from pets.audit.duplicates import COPY
from pets.audit.neighbours import nearest
from pets.images.decoding import decode


def jpeg(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=60)
    return Image.open(file).convert("RGB")


def crop(picture: Image.Image) -> Image.Image:
    """70% of each side, from one corner."""
    width, height = (round(0.7 * side) for side in picture.size)
    return picture.crop((picture.width - width, 0, picture.width, height))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "crop": crop,
    "mirror": ImageOps.mirror,
    "jpeg": jpeg,
    "rescaled": lambda picture: picture.resize((picture.width * 3 // 5, picture.height * 3 // 5)),
    "framed": lambda picture: ImageOps.expand(picture, min(picture.size) // 8, "white"),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
}


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[Image.Image]:
    with tarfile.open(shared / "imagenet-check.tar.gz") as archive:
        files = [archive.extractfile(member) for member in islice(filter(tarfile.TarInfo.isfile, archive), 3)]
        return [Image.fromarray(decode(file.read()).pixels) for file in files if file]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_a_copy(photographs: list[Image.Image], change: str) -> None:
    for picture in photographs:
        copy = CHANGES[change](picture)
        for pair in ((picture, copy), (copy, picture)):
            one, other = (keypoints(np.asarray(each)) for each in pair)
            found = align(one, other, enough=COPY)
            assert found.correlation > 0.9
            assert found.mirrored == (change == "mirror")
            if change == "crop":
                assert min(found.area, 1 / found.area) == pytest.approx(0.49, abs=0.03)


def test_two_photographs_are_no_copies(photographs: list[Image.Image]) -> None:
    one, other, third = (keypoints(np.asarray(each)) for each in photographs)
    for pair in ((one, other), (one, third), (other, third)):
        assert align(*pair, enough=COPY).correlation < 0.4


def test_a_picture_without_keypoints_is_compared_as_a_whole() -> None:
    shade = np.linspace(0, 255, 128).astype(np.uint8)
    picture = np.repeat(np.tile(shade, (96, 1))[..., None], 3, axis=2)
    picture[40:56, 60:64] = 255
    assert align(keypoints(picture), keypoints(picture), COPY).correlation == pytest.approx(1)
    blank = keypoints(np.full((96, 128, 3), 200, np.uint8))
    assert align(blank, keypoints(picture), COPY).correlation == pytest.approx(0, abs=1e-4)


def test_the_keypoints_of_a_mirrored_picture_need_no_second_search(photographs: list[Image.Image]) -> None:
    pixels = np.asarray(photographs[0])
    made, found = mirrored(keypoints(pixels)), keypoints(np.ascontiguousarray(pixels[:, ::-1]))
    distance = np.linalg.norm(made.points[:, None] - found.points, axis=2)
    same = distance.min(1) < 1  # pixel: OpenCV finds them a fraction of one further to the right
    assert same.mean() > 0.9
    assert (
        np.median(np.abs(made.descriptors[same].astype(int) - found.descriptors[distance.argmin(1)[same]]))
        == 0
    )


def test_the_nearest_rows_are_those_of_all_products() -> None:
    vectors = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[7] = vectors[8] = vectors[9]  # equal rows are each other's nearest, and none its own
    cosines, rows = nearest(vectors, 5)
    products = vectors @ vectors.T
    np.fill_diagonal(products, -1)
    np.testing.assert_allclose(cosines, -np.sort(-products, axis=1)[:, :5], atol=1e-5)
    assert not (rows == np.arange(300)[:, None]).any()
    assert nearest(vectors[:3], 5)[1].shape == (3, 2)


def test_proposals_are_the_most_similar_pairs_each_once() -> None:
    cosines = np.array([[0.9, 0.2], [0.9, 0.5], [0.5, 0.2]], np.float32)
    rows = np.array([[1, 2], [0, 2], [1, 0]])
    assert duplicates.proposed(cosines, rows, 2).tolist() == [[0, 1], [1, 2]]
    assert len(duplicates.proposed(cosines, rows, 9)) == 3


def test_rows_that_pairs_connect_are_one_group() -> None:
    numbers = duplicates.groups(5, np.array([[0, 3], [3, 4]]))
    assert numbers[0] == numbers[3] == numbers[4]
    assert len({*numbers}) == 3
    assert len({*duplicates.groups(3, np.empty((0, 2), int))}) == 3
