"""Features scaled for training; what is fitted is fitted on the training images."""

from collections.abc import Callable

import torch

from pets.heads import unit


def scaler(how: str, train: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function that scales features [n, dimensions]; ``how`` as in `Recipe.inputs`.

    Whitened, they have one dimension for each principal axis with more than 1e-6 of the largest axis'
    variance.
    """
    mean = train.mean(0)
    if how == "plain":
        return lambda x: x
    if how == "centred":
        return lambda x: x - mean
    if how == "standardized":
        deviation = train.std(0).clamp_min(1e-6)
        return lambda x: (x - mean) / deviation
    if how == "whitened":
        centred = (train - mean).double()
        variances, axes = torch.linalg.eigh(centred.T @ centred / len(train))
        kept = variances > 1e-6 * variances[-1]
        rotation = (axes[:, kept] / variances[kept].sqrt()).float()
        return lambda x: (x - mean) @ rotation
    if how == "unit":
        return unit
    if how == "root":
        return lambda x: x.sign() * x.abs().sqrt()
    raise AssertionError(how)
