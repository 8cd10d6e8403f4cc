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
        tower_width: channels of the tower's features.
        tower_grid: side of the tower's map.
        picture_size: side of the small picture that the map holds beside the features, in pixels; a multiple of
            `tower_grid`.
        projector_width: channels of the projector's layers.
        projector_layers: how many it has.
        projector_heads: attention heads of each.
        image_words: words that image tokens are mixtures of; the first stands for nothing.
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
    picture_size: int = 56
    projector_width: int = 256
    projector_layers: int = 3
    projector_heads: int = 4
    image_words: list[str] | None = None
    image_token_id: int = 49152
    motion_token_id: int = 49153
    vision_start_token_id: int = 49154
    vision_end_token_id: int = 49155
    tie_word_embeddings: bool = True
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        # Releases of transformers before 5.21 leave a dictionary as it is.
        self.image_words = self.image_words or ["."]
        if not isinstance(self.text_config, PreTrainedConfig):
            self.text_config = LlamaConfig(**(self.text_config or {}))
        super().__post_init__(**kwargs)

    @property
    def anchor_grid(self) -> int:
        """Side of the square of tokens that an anchor costs: two by two for each quarter of the picture."""
        return 4

    @property
    def tokens_per_anchor(self) -> int:
        """Image tokens that one anchor costs."""
        return self.anchor_grid**2

    @property
    def map_width(self) -> int:
        """Channels of the tower's map: its features, and the pixels of the small picture at each place."""
        return self.tower_width + 3 * (self.picture_size // self.tower_grid) ** 2


AutoConfig.register(NanoConfig.model_type, NanoConfig)
