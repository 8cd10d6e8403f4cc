"""The adapter's settings as transformers knows them."""

from transformers import PreTrainedConfig

from himmel.settings import AdapterSettings


class AdapterConfig(PreTrainedConfig, AdapterSettings):
    """Sizes and choices of a `MotionAdapter`, see `AdapterSettings`; `paper()` and `nano()` are the sizes in use.

    Raises:
        UsageError: an unknown choice, no stream at all, or sizes that do not divide.
    """

    model_type = "himmel_adapter"

    def __post_init__(self, **kwargs: object) -> None:
        AdapterSettings.__post_init__(self)
        super().__post_init__(**kwargs)
