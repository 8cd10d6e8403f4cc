"""HERMES from the first frame to the last: read a chunk, compress, read the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.errors import UsageError
from himmel.hosts import PositionScheme, Run
from himmel.methods.cached.hierarchy import Compression, Hierarchy
from himmel.methods.cached.memory import Memory, Reader, Segment
from himmel.methods.cached.prompts import PromptParts

Reindex = Literal["streaming", "offline"]
# Positions that are left for a question and its answer; the authors' margin.
_RESERVE: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Watching:
    """How a video is watched.

    Attributes:
        compression: what each layer keeps.
        chunk_frames: pictures that are read at once.
        reindex: `streaming`: entries keep their positions until the host's run out; `offline`: they get consecutive
            ones at each compression.
        scheme: of positions, see `Host.position_ids`.
    """

    compression: Compression
    chunk_frames: int
    reindex: Reindex
    scheme: PositionScheme

    def watch(self, reader: Reader, parts: PromptParts, vision: BaseModelOutputWithPooling) -> Hierarchy:
        """Read the head and all pictures; compress whenever what may be dropped has come up to the budget.

        Args:
            reader: of the host.
            parts: of the prompt; its tail is not read.
            vision: the tower's view of all pictures.

        Raises:
            UsageError: budget and chunk don't fit into the host's positions.
        """
        places = [slice(first, first + self.chunk_frames) for first in range(0, len(parts.pictures), self.chunk_frames)]
        chunks = [tuple(run for picture in parts.pictures[place] for run in picture) for place in places]
        longest = max(self._lay_out(reader, runs, 0).end for runs in chunks)
        limit = reader.host.context_length - _RESERVE - longest
        head = self._lay_out(reader, parts.head, 0)
        memory, _ = reader.read(Memory(), head)
        state = Hierarchy.begin(memory, head)
        for place, runs in zip(places, chunks, strict=True):
            segment = self._check_room(reader, self._lay_out(reader, runs, state.memory.next))
            memory, _ = reader.read(
                state.memory,
                segment,
                vision=reader.host.exchange_features(vision, partial(_part, place=place)),
            )
            state = state.grown(memory, segment)
            if memory.length - state.prefix >= self.compression.budget:
                reindex = self.reindex == "offline" or memory.next > limit
                state = self.compression.apply(reader, state, reindex=reindex)
        return state

    def _lay_out(self, reader: Reader, runs: tuple[Run, ...], start: int) -> Segment:
        return Segment.of(runs, reader.host, scheme=self.scheme, start=start)

    def _check_room(self, reader: Reader, segment: Segment) -> Segment:
        if segment.end > reader.host.context_length:
            raise UsageError(
                f"A budget of {self.compression.budget:,} entries and chunks of {self.chunk_frames} frames take "
                f"{segment.end:,} positions and the host {reader.host.name!r} has {reader.host.context_length:,}; "
                "lower budget or chunk_frames."
            )
        return segment


def _part(features: Sequence[Tensor], *, place: slice) -> list[Tensor]:
    return list(features)[place]
