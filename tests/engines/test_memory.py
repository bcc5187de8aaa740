import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pets.core.errors import UserError
from pets.engines.memory import PIXELS, in_batches

SIDES = st.integers(1, 3000)


@given(st.lists(st.tuples(SIDES, SIDES), max_size=40))
def test_every_picture_comes_once_and_no_batch_is_too_large(sizes: list[tuple[int, int]]) -> None:
    seen: list[int] = []

    def work(part: list[int]) -> None:
        seen.extend(part)
        tallest, widest = (max(sizes[each][side] for each in part) for side in (0, 1))
        assert len(part) <= 16
        assert len(part) == 1 or len(part) * tallest * widest <= PIXELS

    in_batches(sizes, 16, "cpu", work)
    assert seen == list(range(len(sizes)))


def test_small_pictures_fill_the_batch() -> None:
    found: list[int] = []
    in_batches([(256, 256)] * 40, 16, "cpu", lambda part: found.append(len(part)))
    assert found == [16, 16, 8]


@pytest.mark.parametrize(
    ("side", "tried"), [(8, [9, 4, 2, 2, 2, 2, 1]), (1200, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1])]
)
def test_out_of_memory_continues_with_half(side: int, tried: list[int]) -> None:
    """Room for two small pictures or one large one: a batch that failed is never repeated as it was."""
    room = 2 if side == 8 else 1
    parts: list[int] = []
    seen: list[int] = []

    def work(part: list[int]) -> None:
        parts.append(len(part))
        if len(part) > room:
            raise torch.OutOfMemoryError
        seen.extend(part)

    in_batches([(side, side)] * 9, 16, "cpu", work)
    assert seen == list(range(9))
    assert parts == tried


def test_a_picture_that_does_not_fit_alone_is_reported() -> None:
    def work(part: list[int]) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(UserError, match="a single image does not fit into the memory"):
        in_batches([(8, 8)], 16, "cpu", work)


def test_any_other_error_is_raised() -> None:
    def work(part: list[int]) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        in_batches([(8, 8)], 16, "cpu", work)
