"""Epsilons as people write them."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


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
