"""What a question brings with it, checked before any work is done for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, get_args

from himmel._checks import MOST_SEED, check_choice, check_options, check_question, check_whole
from himmel.choices import AnchorMode, Backend, PlacementName
from himmel.errors import UsageError
from himmel.model.config import HimmelConfig
from himmel.model.reading import Reading
from himmel.settings import check_count

MOST_THREADS = 256
MOST_NEW_TOKENS = 2**20


class AskOptions(TypedDict, total=False):
    """The options of a question, see `Session.ask`."""

    choices: Sequence[str]
    num_anchors: int | None
    steps_per_interval: int | None
    tokens_per_interval: int | None
    anchor_mode: AnchorMode | None
    placement: PlacementName | None
    backend: Backend
    accumulate: bool | None
    motion: bool
    max_new_tokens: int
    seed: int
    threads: int | None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A question with its own settings; the fields are arguments of `Session.ask`.

    Raises:
        UsageError: the question is empty, or an option is of a wrong type or out of range.
    """

    question: str
    choices: Sequence[str] = ()
    num_anchors: int | None = None
    steps_per_interval: int | None = None
    tokens_per_interval: int | None = None
    anchor_mode: AnchorMode | None = None
    placement: PlacementName | None = None
    backend: Backend = "auto"
    accumulate: bool | None = None
    motion: bool = True
    max_new_tokens: int = 64
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        check_question(self.question)
        # A tuple of its own: the caller may change a list later.
        object.__setattr__(self, "choices", check_options(self.choices))
        counts = {
            "num_anchors": self.num_anchors,
            "steps_per_interval": self.steps_per_interval,
            "tokens_per_interval": self.tokens_per_interval,
        }
        for name, count in counts.items():
            if count is not None:
                check_count(name, count)
        if self.anchor_mode is not None:
            check_choice("anchor_mode", self.anchor_mode, get_args(AnchorMode))
        if self.placement is not None:
            check_choice("placement", self.placement, get_args(PlacementName))
        check_choice("backend", self.backend, get_args(Backend))
        if not isinstance(self.motion, bool) or not isinstance(self.accumulate, bool | None):
            raise UsageError(
                f"motion={self.motion!r} with accumulate={self.accumulate!r} is not possible; give True or False."
            )
        check_whole("max_new_tokens", self.max_new_tokens, 1, MOST_NEW_TOKENS)
        check_whole("seed", self.seed, 0, MOST_SEED)
        if self.threads is not None:
            check_whole("threads", self.threads, 1, MOST_THREADS)

    def settings(self, config: HimmelConfig) -> HimmelConfig:
        """The model's settings with those of this question in their place.

        Raises:
            UsageError: more motion tokens than the adapter makes.
        """
        return config.changed(
            tokens_per_interval=self.tokens_per_interval or config.tokens_per_interval,
            placement=self.placement or config.placement,
        )

    def reading(self, config: HimmelConfig) -> Reading:
        """What is to be read of the file."""
        return Reading.of(
            config,
            num_anchors=self.num_anchors,
            anchor_mode=self.anchor_mode,
            steps_per_interval=self.steps_per_interval,
            backend=self.backend,
            accumulate=self.accumulate,
        )
