"""What the report shows: the outputs of the stages before it, read from the working folder."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pets.core.params import Run
from pets.report.attacks import Attack, read_attacks, read_transfers
from pets.report.audit import Audit, Decisions, read_audits
from pets.report.curves import Curves, read_curves
from pets.report.evaluation import Evaluation, read_all
from pets.report.finetuning import Finetuning, read_finetuned
from pets.report.galleries import Galleries, read_galleries
from pets.report.tricks import Tricks, read_tricks
from pets.report.unknown import OpenSet, read_unknown


@dataclass(frozen=True)
class Results:
    """The results of every combination of the run, in its order."""

    evaluations: list[Evaluation]
    curves: dict[str, list[Curves]]  # by data set
    tricks: dict[str, list[Tricks]]  # by data set
    unknown: dict[str, OpenSet]  # by dataset/backbone/head
    audits: dict[tuple[str, str], Audit]  # by data set and backbone
    decisions: dict[str, Decisions]  # by data set
    finetuned: dict[str, list[Finetuning]]  # by data set
    attacks: dict[str, Attack]  # by dataset/backbone/head
    transfers: dict[tuple[str, str], pd.DataFrame]  # by data set and head
    galleries: Galleries


def read_results(run: Run) -> Results:
    """Raises UserError, which names what is missing."""
    combinations = list(itertools.product(run.datasets, run.backbones, run.heads))
    evaluations = read_all(Path("evaluations"), combinations)
    transfers = read_transfers(Path("transfers"), combinations)
    return Results(
        evaluations=evaluations,
        transfers=transfers,
        attacks=read_attacks(Path("attacks"), combinations, transfers),
        curves=read_curves(Path("curves"), combinations),
        tricks=read_tricks(Path("tricks"), list(itertools.product(run.datasets, run.backbones))),
        unknown=read_unknown(Path("unknown"), combinations),
        audits=read_audits(Path(), combinations),
        decisions={dataset: Decisions.read(dataset) for dataset in run.datasets},
        finetuned=read_finetuned(Path("backbones"), run.finetune, evaluations),
        galleries=read_galleries(Path(), evaluations),
    )
