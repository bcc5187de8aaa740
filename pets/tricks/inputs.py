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
        wide = train.shape[1] > len(train)  # then the other Gram matrix, with the same variances, is smaller
        gram = centred @ centred.T if wide else centred.T @ centred
        variances, axes = torch.linalg.eigh(gram / len(train))
        kept = variances > 1e-6 * variances[-1]
        scale = variances[kept].sqrt()
        axes = centred.T @ axes[:, kept] / (len(train) ** 0.5 * scale) if wide else axes[:, kept]
        rotation = (axes / scale).float()
        return lambda x: (x - mean) @ rotation
    if how == "unit":
        return unit
    if how == "root":
        return lambda x: x.sign() * x.abs().sqrt()
    raise AssertionError(how)
