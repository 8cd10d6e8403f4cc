"""What the tests hold methods against: the host's own classes with eager attention, and plain loops."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.methods.cached.memory import Memory, Reader, Segment
from himmel.methods.cached.prompts import PromptParts
from himmel.model.view import share_weights
from tiny_hosts import Setup

QUESTION = "Which way does the red ball move?"


@dataclass(frozen=True)
class Asked:
    """A question about the first sample of a tiny model, as runs and as what transformers takes."""

    setup: Setup
    reader: Reader
    parts: PromptParts
    arguments: dict[str, Any]
    vision: BaseModelOutputWithPooling

    @property
    def whole(self) -> Segment:
        """The whole prompt."""
        return self.segment(self.parts.whole, 0)

    def segment(self, runs: Any, start: int) -> Segment:
        scheme = self.setup.processor.position_scheme
        return Segment.of(runs, self.setup.model.host, scheme=scheme, start=start)

    def read(self) -> tuple[Memory, Tensor]:
        """All of it at once."""
        return self.reader.read(Memory(), self.whole, vision=self.vision)

    @property
    def is_text(self) -> Tensor:
        return self.whole.ids != self.setup.model.host.image_token_id


def ask(setup: Setup, question: str = QUESTION) -> Asked:
    sample = setup.samples[0]
    inputs = setup.processor.encode([sample], [[(question, None)]], motion=False)
    vision = setup.model.see(inputs.images)
    assert vision is not None
    return Asked(
        setup=setup,
        reader=Reader(setup.model),
        parts=PromptParts.of(setup.processor, sample, [(question, None)]),
        arguments={**setup.model.text_arguments(inputs), **setup.model.vision_arguments(vision)},
        vision=vision,
    )


def eager(setup: Setup) -> Any:
    """The host alone, with attention that can be asked for."""
    network = share_weights(setup.model.network)
    network.config.get_text_config()._attn_implementation = "eager"
    return network


def entries(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    return [(layer.keys[0], layer.values[0]) for layer in cache.layers]
