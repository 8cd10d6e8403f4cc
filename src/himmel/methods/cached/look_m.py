"""`look_m`: the whole prompt is read once, and answered from a shorter cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

from torch import Tensor

from himmel._checks import check_choice, check_number, check_whole
from himmel.errors import UsageError
from himmel.methods.cached.memory import Memory, Reader, Segment
from himmel.methods.cached.merging import Merge, choose, merge_entries, shares
from himmel.methods.cached.observe import Received
from himmel.methods.cached.prompts import PromptParts, check_room
from himmel.methods.cached.replies import Prompted, Replier
from himmel.methods.decoding import Decoding
from himmel.methods.frames import FramesMethod
from himmel.methods.protocol import Reply, Shown
from himmel.methods.question import Question
from himmel.methods.removed import NothingRemovedError, Removed
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel


@dataclass(frozen=True, kw_only=True)
class LookM(FramesMethod):
    """`look_m`: evenly spaced frames, after which the cache is merged (LOOK-M, Wan et al., Findings of EMNLP 2024).

    Once, after the prompt's T tokens were read, in each layer and head of keys: all text, the important entries and the
    last ones are kept, and every other entry is merged into the kept one with the most similar key. The answer goes on
    at the positions after the whole prompt. Steps and defaults are those of the authors' code
    (`LLaVA-mix_merge_v1/llava/model/kv_token_merge/modify_llama.py`, the classes `Text...`).

    An entry is important by the attention that its key receives, added up over all queries of the prompt; the heads of
    queries that share a head of keys are averaged. The markers of a picture are part of it, not text, else they alone
    would fill a small cache (LLaVA, which the authors' code is for, has none).

    The report's 'merge ratio 0.25' is no parameter of the method: take important_ratio=0.125 and recent_ratio=0.125, by
    which a quarter of the entries is kept. (It reports no merged entries at that ratio, which no prompt with pictures
    can give.)

    Args:
        num_frames, frame_mode: see `FramesMethod`.
        merge: `pivot` (default), `average` or `weighted`, see `merging.merge_entries`.
        important_ratio: int(this * T) entries before the last ones are important, text first; 0.1 by default.
        recent_ratio: int(this * T) entries at the end are kept; 0.1 by default. The two make 1 at most.
        scored_queries: count the attention of the prompt's last so many tokens alone, which is an approximation;
            None (default): of all.

    Raises:
        UsageError: an option is out of its range.
    """

    name: ClassVar[str] = "look_m"

    merge: Merge = "pivot"
    important_ratio: float = 0.1
    recent_ratio: float = 0.1
    scored_queries: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("merge", self.merge, get_args(Merge))
        check_number("important_ratio", self.important_ratio, 0, 1)
        check_number("recent_ratio", self.recent_ratio, 0, 1)
        if self.important_ratio + self.recent_ratio > 1:
            raise UsageError(
                f"important_ratio={self.important_ratio} and recent_ratio={self.recent_ratio} keep more than the whole "
                "cache; let them be 1 together at most."
            )
        if self.scored_queries is not None:
            check_whole("scored_queries", self.scored_queries, 1, 2**20)

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
        """See `Method.answer`; one question after another."""
        replier = Replier(model, Reader(model), processor)
        return [
            replier.reply(video, question, self._read(replier, video, question), decoding=decoding)
            for video, question, decoding in zip(shown, questions, decodings, strict=True)
        ]

    def _read(self, replier: Replier, video: Shown, question: Question) -> Prompted:
        processor, host = replier.processor, replier.processor.host
        parts = PromptParts.of(processor, video.sample, video.turns(question))
        prompt = check_room(host, Segment.of(parts.whole, host, scheme=processor.position_scheme, start=0))
        vision = replier.see(video)
        received = Received(last=self.scored_queries)
        with received.watching():
            memory, prediction = replier.reader.read(Memory(), prompt, vision=vision)
        shorter, merged = self.shorten(memory, received.by_layer, text=parts.text)
        return Prompted(shorter, prediction, Removed("cache entries", memory.length, shorter.length, merged))

    def shorten(self, memory: Memory, received: Sequence[Tensor], *, text: Tensor) -> tuple[Memory, int]:
        """Keep and merge.

        Args:
            memory: of a whole prompt of T tokens.
            received: for each layer [G, T], attention that each key received.
            text: bool [T], which tokens are text.

        Returns:
            The shorter memory, and how many entries were merged in a layer (with `weighted`, on average).

        Raises:
            NothingRemovedError: all entries would be kept.
        """
        important, recent = shares(memory.length, important_ratio=self.important_ratio, recent_ratio=self.recent_ratio)
        early = int(text[: memory.length - recent].sum())
        if max(important, early) + recent >= memory.length:
            raise NothingRemovedError(
                f"look_m would merge nothing: of {memory.length:,} entries {early:,} are text, {important:,} important "
                f"and {recent:,} recent ones are kept; lower important_ratio or recent_ratio, or show more frames.",
                Removed("cache entries", memory.length, memory.length),
            )
        layers = []
        for keys, values, attention in zip(memory.keys, memory.values, received, strict=True):
            kept = choose(attention, text.to(attention.device), important=important, recent=recent)
            layers.append(merge_entries(keys[0], values[0], kept, self.merge))
        merged = sum(layer.merged for layer in layers) / sum(len(layer.keys) for layer in layers)
        shorter = Memory(
            keys=tuple(layer.keys[None] for layer in layers),
            values=tuple(layer.values[None] for layer in layers),
            seen=memory.seen,
            next=memory.next,
        )
        return shorter, round(merged)
