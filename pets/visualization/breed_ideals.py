"""A head's ideals of species and breeds: which there are, which params.yaml asks for, and their sheet."""

from typing import Literal

import pandas as pd

from pets.classifier.fitted_head import FittedHead
from pets.core.errors import UserError, nearest
from pets.dataset import species_of
from pets.visualization.activation_maximization import Method
from pets.visualization.ideals import NamedIdeal, Sheet


def targets(
    splits: pd.DataFrame, classes: list[str], wanted: Literal["all"] | list[str], dataset: str
) -> dict[str, list[int]]:
    """The ``wanted`` species and breeds by name, each with the indices of its ``classes``.

    "all": the species, where they are known and there are several, and then the classes. UserError where the
    data set has no class or species of a wanted name.
    """
    species = species_of(splits, classes)
    found: dict[str, list[int]] = {}
    if species.notna().all() and species.nunique() > 1:
        for place, name in enumerate(species):
            found.setdefault(name, []).append(place)
    found = dict(sorted(found.items())) | {name: [place] for place, name in enumerate(classes)}
    if wanted == "all":
        return found
    for name in wanted:
        if name not in found:
            raise UserError(
                f"params.yaml: ideal_breeds.breeds names '{name}', which is not in {dataset}; "
                f"{nearest(name, found)}"
            )
    return {name: found[name] for name in wanted}


def sheet(backbone: str, head: FittedHead, dataset: str, method: Method, ideals: list[NamedIdeal]) -> Sheet:
    """The sheet of a head's ideals; ``dataset`` as captions name it."""
    surrogate = " The head has no useful gradient, so the ascent follows that of a smooth surrogate."
    title = f"Ideals of {backbone} with the {head.name} head"
    caption = (
        f"Activation maximization through the {head.name} head on {backbone}'s features, trained on "
        f"{dataset}: {method.description}.{surrogate if head.has_surrogate else ''}"
    )
    return Sheet("ideals", title, caption, ideals, columns=6)
