"""Follow a combination from commit to commit, also where it is renamed, replaced, removed or back again."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from pets.comparison.pairing import pair
from pets.comparison.revisions import Combination
from pets.history.commits import Commit

Trail = dict[int, Combination]  # of one line: what it is called in each commit that has it


def trails(commits: Sequence[Commit]) -> list[Trail]:
    """The combinations over the commits, each as a trail, in the order of their first commits.

    From one commit to the next, combinations are paired as a comparison pairs them, after data sets of the
    same images under another name. One that is back under its last name goes on; a new one begins a trail.
    """
    found: list[Trail] = []
    with_metrics = [at for at, commit in enumerate(commits) if commit.metrics]
    for at in with_metrics[:1]:
        found += [{at: each} for each in commits[at].metrics]
    for before, at in pairwise(with_metrics):
        active = {trail[before]: trail for trail in found if before in trail}
        ended = {list(trail.values())[-1]: trail for trail in found if before not in trail}
        renamed = _renamed(commits[before], commits[at])
        as_now = {each._replace(dataset=renamed.get(each.dataset, each.dataset)): each for each in active}
        pairs = {new: as_now[old] for old, new, _ in pair(list(as_now), list(commits[at].metrics))}
        for new in commits[at].metrics:
            trail = active.get(pairs[new]) if new in pairs else ended.get(new)
            if trail is None:
                found.append({at: new})
            else:
                trail[at] = new
    return found


def _renamed(before: Commit, after: Commit) -> Mapping[str, str]:
    """The data sets that have another name but the same catalog or splits: new names by old ones."""
    old, new = ({each.dataset for each in commit.metrics} for commit in (before, after))
    found: dict[str, str] = {}
    for gone in sorted(old - new):
        files = before.lock.data(gone)
        same = [each for each in sorted(new - old) if files & after.lock.data(each)]
        if len(same) == 1 and same[0] not in found.values():
            found[gone] = same[0]
    return found
