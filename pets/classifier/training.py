"""Fitting a head: hyperparameters and calibration by validation, then a fit on training and validation."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pets import heads
from pets.classifier.calibration import Calibration, calibrate
from pets.classifier.fitted_head import FittedHead
from pets.classifier.unknown import Unknown, fit_unknown
from pets.core.errors import UserError
from pets.heads import Examples, Trial


@dataclass(frozen=True)
class Trained:
    """A fitted head, the ``setting`` that was chosen for it, and what was measured on validation.

    ``curve`` has a row for each setting: parameter, setting, top1, nll, chosen. ``auroc``: how well each
    score of `pets.classifier.unknown` tells classes that were left out of a fit.
    """

    head: FittedHead
    unknown: Unknown
    setting: dict[str, Any]
    curve: pd.DataFrame
    auroc: dict[str, float]


def train(
    name: str, train: Examples, validation: Examples, classes: list[str], settings: Any, seed: int
) -> Trained:
    """The setting with the lowest calibrated negative log-likelihood on ``validation``, fitted on all images.

    Raises UserError where no setting can be tried.
    """
    head = heads.load(name)
    counts = np.bincount(train.labels.cpu(), minlength=len(classes))
    curve = []
    best: tuple[float, Trial, Calibration] | None = None
    for trial in head.trials(train, validation, len(classes), settings, seed):
        logits = head.logits(trial.tensors, validation.features)
        calibration = calibrate(logits, validation.labels, counts)
        nll = calibration.nll(logits, validation.labels)
        guess = calibration.log_probabilities(logits).argmax(1)
        top1 = float((guess == validation.labels).float().mean())
        curve.append((trial.setting, top1, nll))
        print(f"{in_words(trial.setting)}: validation top-1 {top1:.4f}, negative log-likelihood {nll:.4f}")
        if best is None or nll < best[0]:
            best = nll, trial, calibration
    if best is None:
        raise UserError(f"train.{name} in params.yaml leaves nothing to try on {len(train)} images.")
    _, chosen, calibration = best
    print(f"chosen: {in_words(chosen.setting)}; temperature {calibration.temperature:.3f}")
    on_train = FittedHead(name, chosen.tensors, calibration, classes)
    unknown, auroc = fit_unknown(on_train, chosen.setting, train, validation, seed)
    measured = ", ".join(f"{score} {value:.4f}" for score, value in auroc.items())
    print(f"AUROC of classes left out of a fit: {measured}; chosen: {unknown.score}")
    fitted = replace(on_train, tensors=head.fit(train + validation, len(classes), chosen.setting, seed))
    return Trained(fitted, unknown, chosen.setting, _table(curve, chosen.setting), auroc)


def in_words(setting: dict[str, Any]) -> str:
    """``hidden 256, epochs 12``."""
    return ", ".join(f"{name} {value}" for name, value in setting.items())


def _table(curve: list[tuple[dict[str, Any], float, float]], chosen: dict[str, Any]) -> pd.DataFrame:
    """The curve for charts, over the hyperparameter that varies from trial to trial."""
    varying = [name for name in chosen if len({str(setting[name]) for setting, *_ in curve}) > 1]
    parameter = (varying or list(chosen))[0]
    return pd.DataFrame(
        [(parameter, setting[parameter], top1, nll, setting == chosen) for setting, top1, nll in curve],
        columns=["parameter", "setting", "top1", "nll", "chosen"],
    )
