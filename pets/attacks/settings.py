"""The section ``attack`` of params.yaml."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt

from pets.core.params import Section


def _fraction(value: Any) -> float:
    """A number, or a fraction: ``4/255``."""
    above, _, below = str(value).partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise ValueError("write a number or a fraction like 4/255") from None


Epsilon = Annotated[float, BeforeValidator(_fraction), Field(ge=0, le=1)]  # of the pixels' range


def in_levels(epsilon: float) -> str:
    """``4/255``: an epsilon in the levels of an 8-bit picture."""
    return f"{255 * epsilon:.3g}/255"


class Curve(Section):
    """Robust accuracy against epsilon."""

    images: PositiveInt
    epsilons: list[Epsilon] = Field(min_length=1)
    steps: PositiveInt
    reference_steps: PositiveInt
    reference_restarts: NonNegativeInt


class Transfer(Section):
    """Pictures made on one backbone, to be tried on all of them."""

    images: PositiveInt
    epsilon: Epsilon
    steps: PositiveInt


class Settings(Section):
    """The whole section."""

    gallery: NonNegativeInt
    epsilon: Epsilon
    epsilon_l2: float = Field(gt=0)
    steps: PositiveInt
    total_variation: float = Field(ge=0)
    minimum_norm_steps: PositiveInt
    curve: Curve
    transfer: Transfer
