"""Which combination of the one revision is compared with which of the other, and why."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from flows.revisions import Combination
from stages.errors import UserError, nearest


class Pairing(NamedTuple):
    """Two combinations to compare; ``why`` says what pairs them where their names differ."""

    old: Combination
    new: Combination
    why: str


def pair(old: Sequence[Combination], new: Sequence[Combination]) -> list[Pairing]:
    """Combinations of the same name, in NEW's order; then, of what is left over, those without a rival.

    A left-over of OLD and one of NEW are a pair where they alone share data set and head, else data set and
    backbone, else only the data set: so a backbone that took the place of another is compared with it.
    """
    known = set(old)
    found = [Pairing(each, each, "") for each in new if each in known]
    left_old, left_new = ([each for each in these if (each, each, "") not in found] for these in (old, new))
    for shared, key in SHARED.items():
        for of_old in tuple(left_old):
            rivals = [each for each in left_old if key(each) == key(of_old)]
            candidates = [each for each in left_new if key(each) == key(of_old)]
            if len(rivals) == len(candidates) == 1:
                why = f"each is the only one left of the same {shared}"
                found.append(Pairing(of_old, candidates[0], why))
                left_old.remove(of_old)
                left_new.remove(candidates[0])
    return found


SHARED: dict[str, Callable[[Combination], tuple[str, ...]]] = {
    "data set and head": lambda each: (each.dataset, each.head),
    "data set and backbone": lambda each: (each.dataset, each.backbone),
    "data set": lambda each: (each.dataset,),
}


def chosen(name: str, combinations: Iterable[Combination], revision: str) -> Combination:
    """The one combination that ``name`` means: all of dataset/backbone/head, or enough of its parts.

    Raises UserError where it means none, or more than one.
    """
    known = list(combinations)
    words = name.strip("/").split("/")
    meant = [each for each in known if f"/{'/'.join(words)}/" in f"/{each}/"]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UserError(f"'{name}' could be {' or '.join(map(str, meant))} of {revision}; name more of it.")
    raise UserError(f"{revision} has no '{name}'; {nearest(name, map(str, known))}")
