import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.attacks.parts import PIXELS, in_parts
from stages.errors import UserError
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


@pytest.mark.parametrize(
    ("side", "tried"), [(8, [9, 4, 2, 2, 2, 2, 1]), (1200, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1])]
)
def test_out_of_memory_goes_on_with_half(side: int, tried: list[int]) -> None:
    """Room for two small pictures or one large one: a part that failed is never tried again as it was."""
    room = 2 if side == 8 else 1
    parts: list[int] = []
    seen: list[int] = []

    def work(part: list[int]) -> None:
        parts.append(len(part))
        if len(part) > room:
            raise torch.OutOfMemoryError
        seen.extend(part)

    in_parts([(side, side)] * 9, victim().engine, work)
    assert seen == list(range(9))
    assert parts == tried


def test_a_picture_that_does_not_fit_alone_is_told() -> None:
    def work(part: list[int]) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(UserError, match="a single image does not fit into the memory"):
        in_parts([(8, 8)], victim().engine, work)


def test_any_other_error_is_raised() -> None:
    def work(part: list[int]) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        in_parts([(8, 8)], victim().engine, work)
