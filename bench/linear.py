"""The linear head's path of penalties in one solve, against scikit-learn's LogisticRegression for each."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from bench.table import compare
from pets.heads.linear import scaled, solve

IMAGES, DIMENSIONS, CLASSES = 2944, 1280, 37  # the official Pets' training images, Lite0's features
PENALTIES = [float(each) for each in np.logspace(-4, -0.5, 12)]


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(IMAGES) % CLASSES
    means = torch.randn(CLASSES, DIMENSIONS, generator=generator)
    noise = torch.randn(IMAGES, DIMENSIONS, generator=generator)
    features = scaled((0.25 * means[labels] + noise).relu())
    found: dict[str, list[float]] = {}

    def loss(weight: torch.Tensor, bias: torch.Tensor, penalty: float) -> float:
        logits = features.double() @ weight.double() + bias.double()
        return float(functional.cross_entropy(logits, labels) + penalty / 2 * weight.double().square().sum())

    def ours() -> None:
        solved = zip(*solve(features, labels, CLASSES, PENALTIES), PENALTIES, strict=True)
        found["ours"] = [loss(*each) for each in solved]

    def instead() -> None:
        found["instead"] = []
        for penalty in PENALTIES:
            model = LogisticRegression(C=1 / (penalty * IMAGES), max_iter=1000).fit(
                features.numpy(), labels.numpy()
            )
            weight, bias = torch.from_numpy(model.coef_.T), torch.from_numpy(model.intercept_)
            found["instead"].append(loss(weight, bias, penalty))

    compare(f"linear head, {len(PENALTIES)} penalties, {IMAGES} x {DIMENSIONS}", ours, instead, pairs=1)
    gaps = np.array(found["ours"]) - np.array(found["instead"])
    print(f"  our loss minus theirs: {gaps.min():+.1e} to {gaps.max():+.1e}")
