"""`hermes`: a video is watched chunk by chunk with a cache of limited size, and asked about afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

from himmel._checks import check_choice, check_whole
from himmel.errors import UsageError
from himmel.methods.cached.hierarchy import Compression, Hierarchy
from himmel.methods.cached.memory import Reader, Segment
from himmel.methods.cached.prompts import PromptParts, check_room
from himmel.methods.cached.replies import Prompted, Replier
from himmel.methods.cached.sections import PLAIN, THREE_PART, LayerRule, layer_rules
from himmel.methods.cached.watching import Reindex, Watching
from himmel.methods.decoding import Decoding
from himmel.methods.frames import FramesMethod
from himmel.methods.protocol import Reply, Shown
from himmel.methods.question import Question
from himmel.methods.removed import NothingRemovedError, Removed
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel


@dataclass(frozen=True, kw_only=True)
class Hermes(FramesMethod):
    """`hermes`: evenly spaced frames, read in chunks with a cache of limited size (HERMES, Zhang et al., ACL 2026).

    The head of the prompt is read, then one chunk of frames after another. Whenever a layer has `budget` entries behind
    the head, it is compressed: which entries it keeps depends on its depth (`sections`), deep layers fold the others
    into one. A question is read behind what is left, and answered; several about one video share it. Everything behind
    the head counts as visual, the markers of pictures included.

    Sections, weights and smoothing are the authors' for each family: `sections.PLAIN` for hosts with plain positions,
    `sections.THREE_PART` for those with time, row and column. Two things here are done otherwise. The guidance prompts
    are worded anew, to the same end. And the next chunk starts at the same position in all layers, layers that end
    earlier being moved up: attention depends on distances alone, which stay.

    The authors' published code scores wrongly where attention is not eager: each layer is given the guidance prompt's
    raw embeddings, as hidden states are never passed on, and the prompt's tokens see those behind them. By default
    hidden states are the true ones; `as_released` does what that code does.

    Args:
        num_frames, frame_mode: see `FramesMethod`. (The authors take a frame every two seconds of a stream.)
        budget: entries that each layer keeps behind the head, B; 6,000 by default, as in the authors' code (4,000 in
            the paper's small setting).
        chunk_frames: frames that are read at once; 16 by default, as in the authors' code.
        reindex: `streaming` (default): entries keep their positions until a chunk and a question would no longer fit
            into the host's, and get consecutive ones then; `offline`: at each compression.
        as_released: score as the authors' code does.

    Raises:
        UsageError: an option is out of its range.
    """

    name: ClassVar[str] = "hermes"

    budget: int = 6000
    chunk_frames: int = 16
    reindex: Reindex = "streaming"
    as_released: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("budget", self.budget, 1, 2**24)
        check_whole("chunk_frames", self.chunk_frames, 1, 4096)
        check_choice("reindex", self.reindex, get_args(Reindex))
        if not isinstance(self.as_released, bool):
            raise UsageError(f"as_released={self.as_released!r} is not possible; give True or False.")

    def asking(self, model: HostModel, processor: PromptEncoder) -> None:
        """None: each question has a cache of its own."""
        del model, processor

    def answer(
        self,
        model: HostModel,
        processor: PromptEncoder,
        shown: Sequence[Shown],
        questions: Sequence[Question],
        *,
        decodings: Sequence[Decoding],
    ) -> list[Reply]:
        """See `Method.answer`; each video is watched once, however many questions are about it."""
        replier = Replier(model, Reader(model), processor)
        watched: dict[int, Hierarchy] = {}
        replies = []
        for video, question, decoding in zip(shown, questions, decodings, strict=True):
            parts = PromptParts.of(processor, video.sample, video.turns(question))
            if id(video) not in watched:
                watched[id(video)] = self._watch(replier, video, parts)
            read = self._ask(replier, watched[id(video)], parts)
            replies.append(replier.reply(video, question, read, decoding=decoding))
        return replies

    def _watch(self, replier: Replier, video: Shown, parts: PromptParts) -> Hierarchy:
        watching = Watching(
            compression=Compression(rules=_rules(replier.reader), budget=self.budget, as_released=self.as_released),
            chunk_frames=self.chunk_frames,
            reindex=self.reindex,
            scheme=replier.processor.position_scheme,
        )
        state = watching.watch(replier.reader, parts, replier.see(video))
        if state.memory.length == state.memory.seen:
            raise NothingRemovedError(
                f"hermes would drop nothing: the frames take {state.memory.seen - state.prefix:,} entries, which "
                f"budget={self.budget:,} holds; lower the budget, or show more frames.",
                Removed("cache entries", state.memory.seen, state.memory.seen),
            )
        return state

    def _ask(self, replier: Replier, state: Hierarchy, parts: PromptParts) -> Prompted:
        """Read a question behind a video; what was watched stays for the next one."""
        processor, memory = replier.processor, state.memory
        tail = Segment.of(parts.tail, processor.host, scheme=processor.position_scheme, start=memory.next)
        longer, prediction = replier.reader.read(memory, check_room(processor.host, tail))
        # Deep layers fold everything that they drop, and the others nothing.
        rules = _rules(replier.reader)
        merged = round((memory.seen - memory.length) * sum(rule.summary for rule in rules) / len(rules))
        return Prompted(longer, prediction, Removed("cache entries", memory.seen, memory.length, merged))


def _rules(reader: Reader) -> tuple[LayerRule, ...]:
    """Of the host's layers, by its kind of positions."""
    axes = len(reader.text_positions(0, 1))
    layers = int(reader.network.config.get_text_config().num_hidden_layers)
    return tuple(layer_rules(layers, PLAIN if axes == 1 else THREE_PART))
