"""Methods of a trained adapter: `himmel`, its anchors alone, and `rgb_diff`, which reads decoded pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast, get_args

from himmel._checks import check_choice
from himmel.choices import AnchorMode, Backend, PlacementName, TimesName
from himmel.errors import UsageError
from himmel.methods.answer import describe
from himmel.methods.asking import Asking, ask_batch
from himmel.methods.decoding import Decoding
from himmel.methods.protocol import Read, Reply, Shown, show_frames
from himmel.methods.question import Question
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from himmel.model.reading import Reading
from himmel.settings import check_count
from himmel.video import Video


@dataclass(frozen=True)
class DecomposedReading:
    """Anchors and intervals, see `Video.decompose`."""

    reading: Reading

    def read(self, video: Video, *, threads: int | None = None) -> Read:
        """Decompose the video."""
        found = self.reading.read(video, threads=threads)
        return Read(found.anchors, describe(found, video.sha256), found, found.notes, dict(found.seconds))


@dataclass(frozen=True, kw_only=True)
class Himmel:
    """`himmel`: anchors with the motion tokens of the intervals between them (report, section 3).

    Args:
        num_anchors, steps_per_interval, anchor_mode: see `Video.decompose`; at most 64 anchors and 128 steps; None
            takes what the checkpoint names.
        tokens_per_interval: motion tokens of each interval, the first of those that the adapter makes; None for all.
        placement: where motion tokens go in the prompt, see `HimmelConfig`; None takes what the adapter was trained
            with.
        times: whether the prompt tells when each anchor and interval is, see `HimmelConfig`; None as for `placement`.
        backend: see `Video.decompose`.
        accumulate: see `Video.decompose`; None takes what the adapter was trained with.

    Raises:
        UsageError: an option does not exist or is out of its range.
    """

    name: ClassVar[str] = "himmel"
    needs_adapter: ClassVar[bool] = True
    motion: ClassVar[bool] = True

    num_anchors: int | None = None
    steps_per_interval: int | None = None
    tokens_per_interval: int | None = None
    anchor_mode: AnchorMode | None = None
    placement: PlacementName | None = None
    times: TimesName | None = None
    backend: Backend = "auto"
    accumulate: bool | None = None

    def __post_init__(self) -> None:
        for name in ("num_anchors", "steps_per_interval", "tokens_per_interval"):
            count = vars(self)[name]
            if count is not None:
                check_count(name, count)
        if self.anchor_mode is not None:
            check_choice("anchor_mode", self.anchor_mode, get_args(AnchorMode))
        if self.placement is not None:
            check_choice("placement", self.placement, get_args(PlacementName))
        if self.times is not None:
            check_choice("times", self.times, get_args(TimesName))
        check_choice("backend", self.backend, get_args(Backend))
        if not isinstance(self.accumulate, bool | None):
            raise UsageError(f"accumulate={self.accumulate!r} is not possible; give True or False.")

    def settings(self, config: HimmelConfig) -> HimmelConfig:
        """The adapter's settings with those of this method in their place.

        Raises:
            UsageError: more motion tokens than the adapter makes.
        """
        return config.changed(
            tokens_per_interval=self.tokens_per_interval or config.tokens_per_interval,
            placement=self.placement or config.placement,
            times=self.times or config.times,
        )

    def reading(self, config: HimmelConfig | None) -> DecomposedReading:
        """See `Method.reading`.

        Raises:
            UsageError: as `settings`.
        """
        reading = Reading.of(
            # Found out before anything is read.
            self.settings(cast(HimmelConfig, config)),
            num_anchors=self.num_anchors,
            anchor_mode=self.anchor_mode,
            steps_per_interval=self.steps_per_interval,
            backend=self.backend,
            accumulate=self.accumulate,
        )
        return DecomposedReading(reading)

    def processor(self, model: HostModel) -> HimmelProcessor:
        """See `Method.processor`."""
        return HimmelProcessor(self.settings(cast(HimmelForConditionalGeneration, model).config), model.host)

    def prepare(self, read: Read, processor: PromptEncoder) -> Shown:
        """Anchors and streams; a single picture has no interval."""
        if read.decomposition is None:
            return Shown(show_frames(read, processor.host))
        return Shown(cast(HimmelProcessor, processor).prepare(read.decomposition))

    def asking(self, model: HostModel, processor: PromptEncoder) -> Asking:
        """See `Method.asking`."""
        return Asking(model, processor, motion=self.motion)

    def answer(
        self,
        model: HostModel,
        processor: PromptEncoder,
        shown: Sequence[Shown],
        questions: Sequence[Question],
        *,
        decodings: Sequence[Decoding],
    ) -> list[Reply]:
        """See `Method.answer`."""
        return ask_batch(self.asking(model, processor), shown, questions, decodings=decodings)


@dataclass(frozen=True, kw_only=True)
class Anchors(Himmel):
    """`anchors`: the same model and the same anchors without motion tokens, the control of `himmel` (report, 5.3).

    Options: those of `Himmel`.
    """

    name: ClassVar[str] = "anchors"
    motion: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class RgbDiff(Himmel):
    """`rgb_diff`: as `himmel`, of an adapter trained on differences of decoded pictures (report, table 10).

    Options: those of `Himmel`.
    """

    name: ClassVar[str] = "rgb_diff"

    def reading(self, config: HimmelConfig | None) -> DecomposedReading:
        """See `Method.reading`.

        Raises:
            UsageError: the adapter reads motion vectors.
        """
        if not cast(HimmelConfig, config).rgb_difference:
            raise UsageError(
                "The method 'rgb_diff' needs an adapter that was trained on the stream rgb_diff, and this one reads "
                "motion vectors; name such an adapter, or ask by the method 'himmel'."
            )
        return super().reading(config)
