import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.attacks.parts import PIXELS, in_parts
from stages.engines.eager import Engine
from tests.attacks.tiny import victim

SIDES = st.integers(1, 3000)


@given(st.lists(st.tuples(SIDES, SIDES), max_size=40))
def test_every_picture_comes_once_and_no_part_is_too_large(sizes: list[tuple[int, int]]) -> None:
    engine = victim().engine
    seen: list[int] = []

    def work(part: list[int]) -> None:
        seen.extend(part)
        tallest, widest = (max(sizes[each][side] for each in part) for side in (0, 1))
        assert len(part) <= engine.batch_size
        assert len(part) == 1 or len(part) * tallest * widest <= PIXELS

    in_parts(sizes, engine, work)
    assert seen == list(range(len(sizes)))


def test_small_pictures_fill_the_batch() -> None:
    found: list[int] = []
    engine = victim().engine
    in_parts([(256, 256)] * 40, engine, lambda part: found.append(len(part)))
    assert found == [engine.batch_size] * 2 + [40 - 2 * engine.batch_size]


def short_of_memory(most: int, seen: list[int], engine: Engine) -> None:
    """Work on nine pictures on a device that has room for ``most``."""

    def work(part: list[int]) -> None:
        if len(part) > most:
            raise torch.OutOfMemoryError
        seen.extend(part)

    in_parts([(8, 8)] * 9, engine, work)


def test_out_of_memory_goes_on_with_half() -> None:
    seen: list[int] = []
    engine = victim().engine
    short_of_memory(3, seen, engine)
    assert seen == list(range(9))
    assert engine.batch_size == 2


def test_any_other_error_is_raised() -> None:
    def work(part: list[int]) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        in_parts([(8, 8)], victim().engine, work)
