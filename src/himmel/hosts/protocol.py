"""What the rest of the project asks of a host: tokens, prompts, pictures and positions, in the same words for all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.choices import Scoring
from himmel.hosts.boxes import Boxes
from himmel.hosts.chat import ChatTokens
from himmel.hosts.loading import AS_STORED, Loading

PositionScheme = Literal["grid", "sequential"]
RunKind = Literal["text", "image", "motion"]
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Run:
    """Neighbouring tokens of one kind in a prompt.

    Attributes:
        kind: text, the placeholders of one picture, or the placeholders of one interval.
        ids: token ids.
        grid: rows and columns of the tokens of a picture or of motion, in row order; None for text.
        cells: place of each token in the grid, counted row by row, where they don't fill it one after another.
        target: whether the language model is to learn (or is scored on) these tokens.
    """

    kind: RunKind
    ids: tuple[int, ...]
    grid: tuple[int, int] | None = None
    cells: tuple[int, ...] | None = None
    target: bool = False


class Host(Protocol):
    """A vision-language model's token ids, prompt, picture preparation and positions; its weights load apart.

    The motion tokens of an interval may come between any two runs that `anchor_runs` and the chat make, never inside
    the runs of one picture.
    """

    name: str
    folder: str
    tokenizer: PreTrainedTokenizerBase
    image_token_id: int
    motion_token_id: int
    hidden_size: int
    vocab_size: int
    context_length: int
    """Positions that the language model was made for."""
    processor_threads: int | None
    """Threads that suit this host on a processor where waiting threads spin; None: as many as torch has."""
    position_scheme: PositionScheme
    """The scheme that suits this host's positions, used where the configuration names none."""
    scoring: Scoring
    """How options are compared where nothing else is asked for, see `himmel.model.scoring.weigh`."""
    tower_map: tuple[int, int, int] | None
    """Channels, rows and columns of the tower's feature map where it can serve as the context stream; else None."""
    part_names: tuple[str, ...]
    """Names of what `trained_parts` gives, known before any weights are loaded."""
    lora_targets: str
    """Regular expression for the language model's seven projections (docs/method.md, section 8)."""

    @property
    def chat(self) -> ChatTokens:
        """The chat template as token pieces."""

    def encode_text(self, text: str) -> list[int]:
        """Token ids of a user's text; what looks like a special token in it stays ordinary text."""

    def decode_text(self, ids: Tensor) -> str:
        """Text of token ids [L], without special tokens."""

    def tokens_per_anchor(self, width: int, height: int) -> int:
        """Image tokens that an anchor of this size will cost, known before anything is decoded."""

    def prepare_images(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Turn uint8 [H, W, 3] RGB pictures into the compact tensors that a sample keeps."""

    def image_grids(self, images: Mapping[str, Tensor]) -> list[tuple[int, int]]:
        """Rows and columns of each picture's tokens, from what `prepare_images` made."""

    def token_boxes(self, grid: tuple[int, int], width: int, height: int) -> Boxes:
        """Where each token of a picture lies in it: float64 [T, 4], left, top, right, bottom as shares of its sides.

        A token that shows no part of the picture, such as one for a new line, has NaN.

        Args:
            grid: the picture's, from `image_grids`.
            width, height: of the picture in pixels.
        """

    def join_images(self, images: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Join the pictures of several samples into keyword arguments of `image_features`."""

    def anchor_runs(self, grid: tuple[int, int]) -> list[Run]:
        """The tokens of one picture, with its markers."""

    def time_before(self, seconds: float) -> str:
        """What a prompt writes right before a picture or an interval to tell its time; empty: nothing.

        Args:
            seconds: since the first shown picture of the video.
        """

    def time_after(self, times: Sequence[float], duration: float) -> str:
        """What a prompt writes after all pictures and intervals to tell their times; empty: nothing.

        Args:
            times: of each picture, in seconds since the first shown picture of the video.
            duration: of the video in seconds.
        """

    def position_ids(self, runs: Sequence[Run], *, scheme: PositionScheme, start: int = 0) -> Tensor:
        """Positions of a prompt's tokens, int64 [A, L] with A axes (1 on hosts with plain positions)."""

    def batch_positions(self, positions: Tensor, order: Tensor) -> Tensor:
        """From [A, B, L] positions and the [B, L] order of tokens to what the host's forward takes."""

    def load_network(self, loading: Loading = AS_STORED) -> PreTrainedModel:
        """The host's weights as transformers' own class, frozen, in inference mode; see `load_weights`."""

    def outline_network(self, loading: Loading = AS_STORED) -> PreTrainedModel:
        """The same network without any numbers in it, for counting: see `loading.outline`."""

    def image_features(self, network: PreTrainedModel, images: Mapping[str, Tensor]) -> BaseModelOutputWithPooling:
        """Vision features: `pooler_output` is one [n_i, D] tensor per picture, in the host's embedding space."""

    def exchange_features(
        self, vision: BaseModelOutputWithPooling, exchange: Callable[[Sequence[Tensor]], list[Tensor]]
    ) -> BaseModelOutputWithPooling:
        """What `image_features` gave, with other features in their place.

        Args:
            vision: not changed.
            exchange: from one [n_i, D] tensor per picture to as many tensors as one likes, together as long as the
                prompts have placeholders. It is called for each set of features that the network takes.
        """

    def vision_inputs(self, vision: BaseModelOutputWithPooling) -> dict[str, Any]:
        """What `image_features` gave, as the arguments that the network takes in place of pictures."""

    def keep_features(self, network: PreTrainedModel, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Exchange a sample's pictures for frozen features where the host has such; else give them back."""

    def trained_parts(self, network: PreTrainedModel) -> dict[str, nn.Module]:
        """Parts of the host itself that this project trains and keeps in its checkpoints, by file name stem."""
