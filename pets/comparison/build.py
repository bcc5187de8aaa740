"""Build a comparison: read both revisions, pair their combinations, test each pair, correct for all tests."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from pets.comparison import revisions, thumbnails
from pets.comparison.pairing import Pairing, chosen, pair
from pets.comparison.result import Comparison, Pair
from pets.comparison.revisions import WORKSPACE, MissingError, Revision
from pets.comparison.verdicts import UnpairableError, corrected, paired
from pets.core.errors import UserError
from pets.core.progress import progress_bar

PICTURES = 24  # gained, and as many lost, shown of each pair
FEW = 3  # pairs, which are compared without a progress bar
SAMPLES = 1000  # of the bootstrap, where params.yaml does not say


class NothingBeforeError(UserError):
    """The old revision has no results: there is nothing to compare with."""


def build(
    old: str,
    new: str | None = None,
    old_model: str | None = None,
    new_model: str | None = None,
    pictures: bool = False,
) -> Comparison:
    """Compare two revisions, ``new`` being the workspace where it is None.

    ``old_model`` and ``new_model`` select one combination of each; ``pictures`` says whether to look for the
    pictures of gained and lost images. Raises UserError where nothing can be compared: NothingBeforeError
    where that is because ``old`` has no results.
    """
    with revisions.opened(old) as before, revisions.opened(new or WORKSPACE) as after:
        pairings = _pairings(before, after, old_model, new_model)
        samples = int(after.params.get("evaluate", {}).get("bootstrap", SAMPLES))
        seed = int(after.params.get("seed", 0))
        pairs = [_compared(each, before, after, samples, seed, pictures) for each in _with_progress(pairings)]
        all_compared = old_model is None and new_model is None
        return Comparison(
            old=str(before),
            new=str(after),
            pairs=_corrected(pairs),
            only_old=sorted(set(before.metrics) - {each.old for each in pairings}) if all_compared else [],
            only_new=sorted(set(after.metrics) - {each.new for each in pairings}) if all_compared else [],
            params=revisions.params_changed(before, after),
            notes=_notes(before, after),
            samples=samples,
        )


def _pairings(
    before: Revision, after: Revision, old_model: str | None, new_model: str | None
) -> list[Pairing]:
    for each in (before, after):
        if not each.metrics:
            kind = NothingBeforeError if each is before else UserError
            raise kind(
                f"{each} has no metrics: nothing was evaluated there, or evaluations/ was not committed."
            )
    if old_model is None and new_model is None:
        found = pair(list(before.metrics), list(after.metrics))
    else:
        old = chosen(old_model or new_model or "", before.metrics, str(before))
        new = chosen(new_model or old_model or "", after.metrics, str(after))
        found = [Pairing(old, new, "")]
    if before.commit == after.commit and all(each.old == each.new for each in found):
        raise UserError(
            f"OLD and NEW are both {after}; name two revisions, "
            "or two combinations by --old-model and --new-model."
        )
    if not found:
        raise UserError(
            f"no combination of {before} ({_listed(before)}) can be paired with one of {after} "
            f"({_listed(after)}); name two by --old-model and --new-model."
        )
    return found


def _with_progress(pairings: list[Pairing]) -> Iterator[Pairing]:
    """The pairings in turn, with a progress bar where there are many."""
    if len(pairings) <= FEW:
        yield from pairings
        return
    with progress_bar(len(pairings), "compare", "pairs") as progress:
        for each in pairings:
            yield each
            progress.update()


def _listed(revision: Revision) -> str:
    names = list(map(str, revision.metrics))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _compared(
    pairing: Pairing, before: Revision, after: Revision, samples: int, seed: int, pictures: bool
) -> Pair:
    sides = (after, pairing.new), (before, pairing.old)
    compared = Pair(
        pairing=pairing,
        old_metrics=before.metrics[pairing.old],
        new_metrics=after.metrics[pairing.new],
        synthetic=any(revision.synthetic(each.dataset) for revision, each in sides),
    )
    try:
        old, new = before.predictions(pairing.old), after.predictions(pairing.new)
        compared = replace(
            compared,
            old_metrics=before.all_metrics(pairing.old),
            new_metrics=after.all_metrics(pairing.new),
            label_name=new.label_name,
        )
        result = paired(old, new, samples, seed)
    except (MissingError, UnpairableError) as error:
        return replace(compared, missing=str(error), unpairable=isinstance(error, UnpairableError))
    catalogs = thumbnails.catalogs(*((revision, each.dataset) for revision, each in sides))
    if len(catalogs) == 2:
        other = thumbnails.other_pictures(result.images["image_id"], *(catalog for *_, catalog in catalogs))
        compared = replace(compared, other_pictures=other)
    if pictures:
        shown = pd.concat([result.gained.head(PICTURES), result.lost.head(PICTURES)])
        compared = replace(compared, pictures=thumbnails.find(shown["image_id"], catalogs))
    return replace(compared, paired=result)


def _corrected(pairs: list[Pair]) -> list[Pair]:
    """The pairs with all tests of the comparison corrected together for their number."""
    if all(each.unpairable for each in pairs):
        raise UserError(f"{pairs[0].title}: {pairs[0].missing}.")
    results = iter(corrected([each.paired for each in pairs if each.paired]))
    return [replace(each, paired=next(results)) if each.paired else each for each in pairs]


def _notes(before: Revision, after: Revision) -> list[str]:
    return [
        f"In {each}, {', '.join(each.not_run)} changed after the pipeline ran; its results are older."
        for each in (before, after)
        if each.not_run
    ]
