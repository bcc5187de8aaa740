"""Whether the combinations of a data set differ from the chosen one by more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pets.metrics.paired import difference_interval, holm, mcnemar_exact
from pets.report.evaluation import Evaluation, chosen_on_validation

LEVEL = 0.05  # significance level: how often chance alone may be called a difference


@dataclass(frozen=True)
class Verdict:
    """An evaluation beside another, such as the chosen one, on the same test images.

    ``gained``: images that it alone has right; ``lost``: that the other alone has right; ``p`` is McNemar's,
    corrected by Holm's method for the number of verdicts.
    """

    evaluation: Evaluation
    gained: int
    lost: int
    p: float

    @property
    def difference(self) -> float:
        """In top-1, -1..1; above zero where it is better than the other."""
        return (self.gained - self.lost) / len(self.evaluation.predictions)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the difference."""
        return difference_interval(self.gained, self.lost, len(self.evaluation.predictions))

    @property
    def word(self) -> str:
        """``better``, ``worse`` or ``no more than chance``."""
        if self.p >= LEVEL:
            return "no more than chance"
        return "better" if self.gained > self.lost else "worse"


def against_the_chosen(evaluations: Sequence[Evaluation]) -> list[Verdict]:
    """A verdict on each evaluation of a data set but the one chosen on validation, in their order."""
    chosen = chosen_on_validation(evaluations)
    return verdicts([(each, chosen) for each in evaluations if each is not chosen])


def verdicts(pairs: Sequence[tuple[Evaluation, Evaluation]]) -> list[Verdict]:
    """A verdict on the first of each pair beside the second, corrected together for their number."""
    found = []
    for each, other in pairs:
        right = correct_on_both(each, other)
        gained, lost = (int(right[name].sum()) for name in ("gained", "lost"))
        found.append(Verdict(each, gained, lost, mcnemar_exact(gained, lost)))
    corrected = holm([each.p for each in found]) if found else []
    return [replace(each, p=p) for each, p in zip(found, corrected, strict=True)]


def correct_on_both(one: Evaluation, other: Evaluation) -> pd.DataFrame:
    """The label of each test image, and whether ``one`` alone has it right (gained), or ``other`` (lost)."""
    table = one.predictions.set_index("image_id")[["label", "correct"]]
    others = other.predictions.set_index("image_id")["correct"].loc[table.index]
    return table.assign(gained=table["correct"] & ~others, lost=others & ~table["correct"])
