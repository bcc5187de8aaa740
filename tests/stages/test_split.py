"""Every class is in every part, by the seed alone, and one more photo moves hardly any other."""

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.split import stratified


def table(sizes: list[int]) -> pd.DataFrame:
    names = [
        (f"c{label}_{number}", f"c{label}") for label, size in enumerate(sizes) for number in range(size)
    ]
    return pd.DataFrame(names, columns=["image_id", "label"])


sizes = st.lists(st.integers(2, 60), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(sizes, st.floats(0.05, 0.5), st.integers(0, 99))
def test_the_same_share_of_every_class(counts: list[int], share: float, seed: int) -> None:
    images = table(counts)
    parts = stratified(images, share, seed, part="val", rest="train")
    held = parts.eq("val").groupby(images["label"]).sum()
    for label, size in enumerate(counts):
        assert held[f"c{label}"] == max(1, round(size * share))


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(counts: list[int], seed: int) -> None:
    images = table(counts)
    mixed = images.sample(frac=1, random_state=seed)
    first = stratified(images, 0.2, seed, part="val", rest="train")
    second = stratified(mixed, 0.2, seed, part="val", rest="train")
    assert first.equals(second.sort_index())


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(0, 99))
def test_one_more_photo_moves_at_most_one(counts: list[int], seed: int) -> None:
    before = table(counts)
    after = pd.concat([before, pd.DataFrame([("new_1", "c0")], columns=before.columns)], ignore_index=True)
    first = stratified(before, 0.2, seed, part="val", rest="train")
    second = stratified(after, 0.2, seed, part="val", rest="train").iloc[:-1]
    assert (first != second).sum() <= 1


def test_the_seed_decides() -> None:
    images = table([50, 50])
    splits = [stratified(images, 0.2, seed, part="val", rest="train") for seed in (0, 0, 1)]
    assert splits[0].equals(splits[1])
    assert not splits[0].equals(splits[2])
