"""The tricks that are measured: what each changes, and what it is. The page reads them without torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from pets.core.errors import UserError, nearest
from pets.tricks.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Trick:
    """A change of a recipe. Of each ``kind`` a recipe can have one.

    ``family`` is the heading under which the page shows it, ``meaning`` the sentence that says what it is.
    ``joins`` is false where it can't be a part of all together.
    """

    name: str
    title: str
    family: str
    kind: str
    change: dict[str, Any]
    meaning: str
    joins: bool = True


TRICKS = (
    Trick("zeros", "Weights from zero", "Initialization", "init", {"init": "zeros"},
        "All weights start at zero: hidden units then get equal gradients and never come to differ."),
    Trick("large", "Weights too large", "Initialization", "init", {"init": "large"},
        "Weights start ten times as large as by He’s rule: the first predictions are certain and wrong.",
        joins=False),
    Trick("xavier", "Xavier", "Initialization", "init", {"init": "xavier"},
        "Weights start within √(6 / (inputs + outputs)), which keeps the variance of signals and gradients "
        "from layer to layer (Glorot, Bengio 2010)."),
    Trick("he", "He", "Initialization", "init", {"init": "he"},
        "Weights start within √(6 / inputs), which makes up for the half that ReLUs set to zero "
        "(He et al. 2015)."),
    Trick("centred", "Centred inputs", "Input scaling", "inputs", {"inputs": "centred"},
        "The training images’ mean is subtracted from every feature."),
    Trick("standardized", "Standardized inputs", "Input scaling", "inputs", {"inputs": "standardized"},
        "Every feature is centred and divided by its standard deviation, so that all have the same scale."),
    Trick("whitened", "Whitened inputs", "Input scaling", "inputs", {"inputs": "whitened"},
        "Features are rotated onto their principal axes and each axis is scaled to variance one: nothing is "
        "correlated any more, and the smallest axes are mostly noise (LeCun et al. 1998)."),
    Trick("unit", "Inputs of unit length", "Input scaling", "inputs", {"inputs": "unit"},
        "Every image’s vector is divided by its length."),
    Trick("root", "Signed root", "Input scaling", "inputs", {"inputs": "root"},
        "Every feature is replaced by its square root, sign kept, which tames the few large activations "
        "(Perronnin et al. 2010)."),
    Trick("momentum", "Momentum", "Optimizer", "optimizer", {"momentum": 0.9, "rate_factor": 0.1},
        "Steps follow a running sum of the gradients, each a tenth weaker a step later (Polyak 1964); the "
        "rate is a tenth, since the sum is ten times as large."),
    Trick("nesterov", "Nesterov momentum", "Optimizer", "optimizer",
        {"momentum": 0.9, "nesterov": True, "rate_factor": 0.1},
        "Momentum that looks one step ahead (Nesterov 1983; Sutskever et al. 2013)."),
    Trick("adam", "Adam", "Optimizer", "optimizer", {"optimizer": "adam"},
        "Momentum, with every weight’s step divided by the running size of its gradient (Kingma, Ba 2015)."),
    Trick("adamw", "AdamW", "Optimizer", "optimizer", {"optimizer": "adamw", "weight_decay": 0.1},
        "Adam, with weights that shrink by a tenth of the learning rate each step, apart from the gradient "
        "(Loshchilov, Hutter 2019)."),
    Trick("lbfgs", "L-BFGS", "Optimizer", "optimizer", {"optimizer": "lbfgs"},
        "All images at once, and curvature estimated from the last steps (Liu, Nocedal 1989), with line "
        "search: three steps for each pass of the others.", joins=False),
    Trick("low_rate", "Learning rate ÷ 10", "Learning rate", "rate", {"rate_factor": 0.1},
        "A tenth of the rate that validation chose for the plain recipe.", joins=False),
    Trick("high_rate", "Learning rate × 10", "Learning rate", "rate", {"rate_factor": 10.0},
        "Ten times the rate that validation chose for the plain recipe.", joins=False),
    Trick("step", "Rate falls in steps", "Learning rate", "schedule", {"schedule": "step"},
        "The rate is divided by ten after half of the steps, and again after three quarters."),
    Trick("cosine", "Cosine schedule", "Learning rate", "schedule", {"schedule": "cosine"},
        "The rate falls to zero along half a cosine (Loshchilov, Hutter 2017)."),
    Trick("one_cycle", "One cycle", "Learning rate", "schedule", {"schedule": "one_cycle"},
        "The rate rises from 1/25 of its peak for three tenths of the steps, then falls to almost zero "
        "(Smith, Topin 2019)."),
    Trick("batch_norm", "Batch normalization", "Gradients and batches", "batch_norm", {"batch_norm": True},
        "Each hidden unit, or without a hidden layer each input, is standardized over the images of a step "
        "(Ioffe, Szegedy 2015)."),
    Trick("clipping", "Gradient clipping", "Gradients and batches", "clipping", {"clip": 1.0},
        "A gradient longer than 1 is shortened to 1 (Pascanu et al. 2013)."),
    Trick("small_batch", "Batch ÷ 4", "Gradients and batches", "batch_size",
        {"batch_factor": 0.25, "rate_factor": 0.25},
        "A quarter of the images in each step, and four times as many steps, at a quarter of the rate "
        "(Goyal et al. 2017).", joins=False),
    Trick("large_batch", "Batch × 4", "Gradients and batches", "batch_size",
        {"batch_factor": 4.0, "rate_factor": 4.0},
        "Four times the images in each step, and a quarter of the steps, at four times the rate.",
        joins=False),
    Trick("dropout", "Dropout", "Against overfitting", "dropout", {"dropout": 0.5},
        "In each step a random half of the hidden units, or without a hidden layer of the inputs, is left "
        "out (Srivastava et al. 2014)."),
    Trick("weight_decay", "Weight decay", "Against overfitting", "weight_decay", {"weight_decay": 1e-3},
        "An L2 penalty of 0.001 / 2 times the squared weights pulls all of them towards zero."),
    Trick("label_smoothing", "Label smoothing", "Against overfitting", "smoothing", {"label_smoothing": 0.1},
        "A tenth of each label’s weight is spread evenly over all classes (Szegedy et al. 2016)."),
    Trick("mixup", "Mixup", "Against overfitting", "mixup", {"mixup": 0.2},
        "Each input is a blend of two images’ features, its label the same blend of theirs "
        "(Zhang et al. 2018)."),
    Trick("early_stopping", "Early stopping", "Against overfitting", "stopping", {"early_stopping": True},
        "The weights of the pass with the lowest validation loss are taken, not those of the last."),
    Trick("averaging", "Weight averaging", "Against overfitting", "averaging", {"averaging": True},
        "The mean of the weights after each pass of the second half is taken (Izmailov et al. 2018)."),
)  # fmt: skip
BY_NAME = {each.name: each for each in TRICKS}
# Kinds that L-BFGS has no use for: it takes all images at once, and finds its own steps.
OF_MINIBATCHES = ("batch_norm", "batch_size", "clipping", "dropout", "mixup", "rate", "schedule")


def listed(recipes: str | Sequence[str]) -> dict[str, list[Trick]]:
    """The tricks that ``tricks.recipes`` of params.yaml names, by name: ``all``, or a list.

    A name may be several tricks joined by +, which are added together. UserError for an unknown trick, and
    for tricks that contradict each other.
    """
    if isinstance(recipes, str):
        if recipes != "all":
            raise UserError(f"params.yaml: tricks.recipes is '{recipes}'; write all, or a list of tricks.")
        return {each.name: [each] for each in TRICKS}
    if not recipes:
        raise UserError("params.yaml: tricks.recipes is empty; write all, or a list of tricks.")
    for name in recipes:
        if list(recipes).count(name) > 1:
            raise UserError(f"params.yaml: tricks.recipes names '{name}' twice; keep one.")
    return {name: _parts(name) for name in recipes}


def combined(plain: Recipe, tricks: Iterable[Trick]) -> Recipe:
    """The plain recipe with these tricks, none of which contradicts another, added."""
    made, factor = plain, 1.0
    for each in tricks:
        made = replace(made, **each.change)
        factor *= each.change.get("rate_factor", 1.0)
    return replace(made, rate_factor=factor)


def contradict(one: Trick, other: Trick) -> bool:
    """Whether they are of one kind, set the same to different values, or one has no use for the other."""
    alone = "lbfgs" in (one.name, other.name) and {one.kind, other.kind} & set(OF_MINIBATCHES)
    shared = one.change.keys() & other.change.keys() - {"rate_factor"}
    return (
        one.kind == other.kind or bool(alone) or any(one.change[key] != other.change[key] for key in shared)
    )


def title_of(name: str) -> str:
    """A trick's title, or those of the joined ones."""
    return " + ".join(BY_NAME[part].title for part in name.split("+"))


def _parts(name: str) -> list[Trick]:
    parts = name.split("+")
    for part in parts:
        if part not in BY_NAME:
            raise UserError(
                f"params.yaml: tricks.recipes names the unknown trick '{part}'; {nearest(part, BY_NAME)}"
            )
    tricks = [BY_NAME[part] for part in parts]
    for one, other in combinations(tricks, 2):
        if contradict(one, other):
            raise UserError(
                f"params.yaml: tricks.recipes joins '{one.name}' and '{other.name}' in '{name}', "
                "which contradict each other; keep one."
            )
    return tricks
