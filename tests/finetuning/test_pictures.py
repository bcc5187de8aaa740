"""Pictures that are decoded once, and cropped anew at each step."""

from pathlib import Path

import numpy as np

from pets.finetuning.pictures import crops, decode_once, stored
from pets.images.batches import batches
from tests.finetuning import tiny


def test_each_crop_is_a_window_of_its_picture_mirrored_or_not() -> None:
    rows, columns = np.mgrid[0:40, 0:40].astype(np.uint8)
    pictures = np.stack([np.stack([np.full((40, 40), n, np.uint8), rows, columns], 2) for n in range(30)])
    order = np.random.default_rng(0).permutation(30)
    images = crops(pictures, order, 32, np.random.default_rng(1)).numpy()
    assert images.shape == (30, 3, 32, 32)
    tops, lefts, mirrored = set(), set(), set()
    for number, image in zip(order, images, strict=True):
        assert (image[0] == number).all()
        top, left = int(image[1, 0, 0]), int(image[2, 0].min())
        mirror = image[2, 0, 0] > image[2, 0, 1]
        window = pictures[number, top : top + 32, left : left + 32].transpose(2, 0, 1)
        np.testing.assert_array_equal(image[..., ::-1] if mirror else image, window)
        tops.add(top)
        lefts.add(left)
        mirrored.add(bool(mirror))
    assert len(tops) > 4
    assert len(lefts) > 4
    assert max(tops | lefts) == 8
    assert mirrored == {True, False}


def test_pictures_are_decoded_once(tmp_path: Path) -> None:
    train, _ = tiny.labelled(tmp_path)
    preprocessing = tiny.backbone().preprocessing
    for augment, side in ((True, 37), (False, 32)):
        kept = stored(preprocessing, augment)
        first = decode_once(train, kept, tmp_path / f"{augment}.npy", "pictures")
        assert first.shape == (tiny.TRAIN, side, side, 3)
    for file in train.files:
        file.unlink()
    again = decode_once(train, kept, tmp_path / "False.npy", "pictures")
    np.testing.assert_array_equal(first, again)


def test_without_augmentation_they_are_what_embed_sees(tmp_path: Path) -> None:
    train, _ = tiny.labelled(tmp_path)
    preprocessing = tiny.backbone().preprocessing
    kept = decode_once(train, stored(preprocessing, False), tmp_path / "kept.npy", "pictures")
    seen = crops(kept, np.arange(tiny.TRAIN), tiny.SIDE, np.random.default_rng(0))
    ((expected,),) = batches(train.files, preprocessing, 1, tiny.TRAIN)
    assert (seen == expected).all()
