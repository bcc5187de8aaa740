"""Which combination of one revision is compared with which of the other, and why."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pets.comparison.revisions import Combination
from pets.core.errors import UserError, nearest


class Pairing(NamedTuple):
    """Two combinations to compare; ``why`` says what pairs them where their names differ."""

    old: Combination
    new: Combination
    why: str


def pair(old: Sequence[Combination], new: Sequence[Combination]) -> list[Pairing]:
    """Combinations of the same name, in NEW's order; then, of the remaining ones, those that match uniquely.

    A remaining combination of OLD and one of NEW are a pair where they alone share data set and head,
    otherwise data set and backbone, otherwise only the data set: a backbone that replaced another is compared
    with it.
    """
    known = set(old)
    found = [Pairing(each, each, "") for each in new if each in known]
    left_old, left_new = ([each for each in these if (each, each, "") not in found] for these in (old, new))
    for shared, key in SHARED.items():
        for each_old in tuple(left_old):
            rivals = [each for each in left_old if key(each) == key(each_old)]
            candidates = [each for each in left_new if key(each) == key(each_old)]
            if len(rivals) == len(candidates) == 1:
                why = f"each is the only one left of the same {shared}"
                found.append(Pairing(each_old, candidates[0], why))
                left_old.remove(each_old)
                left_new.remove(candidates[0])
    return found


SHARED: dict[str, Callable[[Combination], tuple[str, ...]]] = {
    "data set and head": lambda each: (each.dataset, each.head),
    "data set and backbone": lambda each: (each.dataset, each.backbone),
    "data set": lambda each: (each.dataset,),
}


def chosen(name: str, combinations: Iterable[Combination], revision: str) -> Combination:
    """The one combination that ``name`` matches: dataset/backbone/head, or some consecutive parts of it.

    Raises UserError where it matches none or several.
    """
    known = list(combinations)
    matching = [each for each in known if f"/{name.strip('/')}/" in f"/{each}/"]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UserError(
            f"'{name}' could be {' or '.join(map(str, matching))} of {revision}; name more of it."
        )
    raise UserError(f"{revision} has no '{name}'; {nearest(name, map(str, known))}")
