"""The section ``finetune`` of params.yaml."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from pets.core.params import Section


class Settings(Section):
    """See params.yaml for each; ``size`` None is the network's own."""

    epochs: PositiveInt
    learning_rate: PositiveFloat
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: NonNegativeFloat
    batch_size: PositiveInt
    size: Annotated[int, Field(ge=32)] | None
    augment: bool
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    gradient_checkpointing: bool
    freeze_batch_norm: bool
