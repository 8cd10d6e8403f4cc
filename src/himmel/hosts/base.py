"""What all hosts share: text in one way, plain positions, vision features handed over as transformers takes them."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.choices import Scoring
from himmel.hosts.boxes import Boxes, grid_boxes
from himmel.hosts.positions import plain_positions
from himmel.hosts.protocol import PositionScheme, Run

# A tokenizer keeps options of the newest call, and refuses to be changed while another thread reads it.
_TOKENISING = threading.Lock()


class BaseHost:
    """Parts of `Host` that hold for every family, or for all but one that says otherwise."""

    tokenizer: PreTrainedTokenizerBase
    lora_targets = r".*language_model\..*\.(q|k|v|o|gate|up|down)_proj"
    position_scheme: PositionScheme = "sequential"
    processor_threads: int | None = None
    scoring: Scoring = "byte"
    part_names: tuple[str, ...] = ()

    def encode_text(self, text: str) -> list[int]:
        """See `Host.encode_text`."""
        with _TOKENISING:
            return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def decode_text(self, ids: Tensor) -> str:
        """See `Host.decode_text`."""
        with _TOKENISING:
            return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def token_boxes(self, grid: tuple[int, int], width: int, height: int) -> Boxes:
        """The grid fills the picture."""
        del width, height
        return grid_boxes(*grid)

    def time_before(self, seconds: float) -> str:
        """As Qwen3-VL writes it before the frames of a video; families without a form of their own read it as text."""
        return f"<{seconds:.1f} seconds>"

    def time_after(self, times: Sequence[float], duration: float) -> str:
        """Nothing: each time stands before what it is about."""
        del times, duration
        return ""

    def position_ids(self, runs: Sequence[Run], *, scheme: PositionScheme, start: int = 0) -> Tensor:
        """See `plain_positions`: [1, L]."""
        return plain_positions(runs, scheme=scheme, start=start)

    def batch_positions(self, positions: Tensor, order: Tensor) -> Tensor:
        """The one axis alone: [B, L]."""
        del order
        return positions[0]

    def exchange_features(
        self, vision: BaseModelOutputWithPooling, exchange: Callable[[Sequence[Tensor]], list[Tensor]]
    ) -> BaseModelOutputWithPooling:
        """The one set of features there is."""
        features = exchange(cast(Sequence[Tensor], vision.pooler_output))
        return BaseModelOutputWithPooling(pooler_output=cast(Any, features))

    def vision_inputs(self, vision: BaseModelOutputWithPooling) -> dict[str, Any]:
        """`mm_encoder_outputs`."""
        return {"mm_encoder_outputs": {"image": vision}}
