"""What fine-tuning a backbone gained, as the page shows it: beside its frozen twin."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pets.core.files import read_json
from pets.core.names import FINETUNED
from pets.report.evaluation import Evaluation, chosen_on_validation
from pets.report.outputs import existing
from pets.report.verdicts import Verdict, correct_on_both, verdicts

MOST = 6  # classes shown that gained, and as many that lost


@dataclass(frozen=True)
class Finetuning:
    """A backbone that was fine-tuned on one data set.

    ``pairs``: each head on it, and the same head on its frozen twin. For ``record`` and ``history`` see
    `stages.finetune` and `pets.finetuning.training`.
    """

    backbone: str
    record: dict[str, Any]
    history: pd.DataFrame
    pairs: list[tuple[Evaluation, Evaluation]]

    @property
    def verdicts(self) -> list[Verdict]:
        """Of each head, fine-tuned beside frozen, corrected for their number."""
        return verdicts(self.pairs)

    @property
    def chosen(self) -> tuple[Evaluation, Evaluation]:
        """The pair of the head that is best on validation, fine-tuned."""
        best = chosen_on_validation([finetuned for finetuned, _ in self.pairs])
        return next(pair for pair in self.pairs if pair[0] is best)

    @property
    def moved(self) -> tuple[list[Any], list[Any]]:
        """The classes that gained most images and those that lost most: label, images, gained, lost, net."""
        table = correct_on_both(*self.chosen).assign(images=1)
        table = table.groupby("label")[["images", "gained", "lost"]].sum().reset_index()
        table["net"] = table["gained"].astype(int) - table["lost"].astype(int)
        up = table[table["net"] > 0].sort_values(["net", "label"], ascending=[False, True])
        down = table[table["net"] < 0].sort_values(["net", "label"])
        return list(up.head(MOST).itertuples()), list(down.head(MOST).itertuples())


def read_finetuned(
    root: Path, backbones: Sequence[str], evaluations: Sequence[Evaluation]
) -> dict[str, list[Finetuning]]:
    """By data set, a `Finetuning` for each of the ``backbones``. Raises UserError where one is missing."""
    by_key = {each.key: each for each in evaluations}
    found: dict[str, list[Finetuning]] = {}
    for dataset in dict.fromkeys(each.dataset for each in evaluations):
        for backbone in backbones:
            folder = root / f"{backbone}{FINETUNED}" / dataset
            pairs = [
                (by_key[f"{dataset}/{backbone}{FINETUNED}/{each.head}"], each)
                for each in evaluations
                if (each.dataset, each.backbone) == (dataset, backbone)
            ]
            history = pd.read_csv(existing(folder / "history.csv"))
            record = read_json(existing(folder / "record.json"))
            found.setdefault(dataset, []).append(Finetuning(backbone, record, history, pairs))
    return found
