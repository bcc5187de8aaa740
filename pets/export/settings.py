"""The section ``export`` of params.yaml."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from pets.core.params import Section


class Settings(Section):
    """See the comments in params.yaml."""

    models: list[str]
    pictures: Literal["all"] | PositiveInt
    int8_images: NonNegativeInt
