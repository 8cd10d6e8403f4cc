"""Shape of the nano host."""

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, LlamaConfig, PreTrainedConfig


@strict
class NanoConfig(PreTrainedConfig):
    """Shape of the nano host.

    Args:
        text_config: the language model, a `LlamaConfig`.
        image_size: side of the square picture that the tower reads, in pixels.
        tower_width: channels of the tower's feature map.
        tower_grid: side of the tower's feature map.
        anchor_grid: side of the map after pooling; an anchor costs `anchor_grid ** 2` tokens.
        image_token_id: placeholder that image features replace.
        motion_token_id: placeholder that motion tokens replace; the host itself treats it as any other token.
        vision_start_token_id: comes before each picture.
        vision_end_token_id: comes after each picture.
    """

    model_type = "himmel_nano"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": LlamaConfig}
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]

    text_config: dict[str, Any] | PreTrainedConfig | None = None
    image_size: int = 224
    tower_width: int = 1280
    tower_grid: int = 7
    anchor_grid: int = 4
    image_token_id: int = 49152
    motion_token_id: int = 49153
    vision_start_token_id: int = 49154
    vision_end_token_id: int = 49155
    tie_word_embeddings: bool = True
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        # Releases of transformers before 5.21 leave a dictionary as it is.
        if not isinstance(self.text_config, PreTrainedConfig):
            self.text_config = LlamaConfig(**(self.text_config or {}))
        super().__post_init__(**kwargs)

    @property
    def tokens_per_anchor(self) -> int:
        """Image tokens that one anchor costs."""
        return self.anchor_grid**2


AutoConfig.register(NanoConfig.model_type, NanoConfig)
