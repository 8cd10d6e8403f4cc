"""What a language model keeps of each token for its backward pass: a formula with constants from tiny layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

Way = Literal["frozen", "lora", "full"]
"""How a language model takes part: gradients pass through it, LoRA on it learns, or it learns whole."""
TERMS: Final = ("width", "inner", "queries", "pairs", "rank", "heads", "normed", "norms", "one")
"""What the kept bytes of a token grow with: hidden width; width of the feed-forward; width of all heads' queries, and
of all keys; rank of LoRA; heads; width of queries and keys that have norms of their own, and how many those are; and
nothing."""


@dataclass(frozen=True, kw_only=True)
class LayerSize:
    """One layer of a language model.

    Attributes:
        width: of hidden states.
        inner: of the feed-forward.
        heads: of queries.
        pairs: of keys and values.
        head_width: of one head.
        normed: whether queries and keys have norms of their own (Qwen3).
        rank: of LoRA; 0 without.
    """

    width: int
    inner: int
    heads: int
    pairs: int
    head_width: int
    normed: bool
    rank: int

    @classmethod
    def of(cls, text: Any, *, rank: int) -> Self:
        """From a configuration of transformers; of a mixture of experts, what one token's experts take together."""
        told: Mapping[str, Any] = text.to_dict()
        heads = int(told["num_attention_heads"])
        inner = int(told.get("moe_intermediate_size") or 0) * int(told.get("num_experts_per_tok") or 0)
        return cls(
            width=int(told["hidden_size"]),
            inner=inner or int(told["intermediate_size"]),
            heads=heads,
            pairs=int(told.get("num_key_value_heads") or heads),
            head_width=int(told.get("head_dim") or told["hidden_size"] // heads),
            normed="qwen3" in str(told["model_type"]),
            rank=rank,
        )

    @property
    def terms(self) -> tuple[int, ...]:
        """The values of `TERMS`."""
        both = (self.heads + self.pairs) * self.normed
        queries, pairs = self.heads * self.head_width, self.pairs * self.head_width
        return (self.width, self.inner, queries, pairs, self.rank, self.heads, both * self.head_width, both, 1)


def layer_bytes(size: LayerSize, *, way: Way, precision: str) -> int:
    """Bytes that one layer keeps of each token."""
    return sum(constant * term for constant, term in zip(_KEPT[precision, way], size.terms, strict=True))


# Bytes for each of `TERMS`: what `python -m benchmarks.training_memory` prints, which leaves nothing over.
_KEPT: Final[Mapping[tuple[str, Way], tuple[int, ...]]] = {
    ("float32", "frozen"): (8, 12, 8, 8, 0, 4, 4, 4, 8),
    ("float32", "lora"): (16, 16, 8, 8, 28, 4, 4, 4, 8),
    ("float32", "full"): (24, 16, 8, 8, 0, 4, 8, 4, 8),
    ("bfloat16", "frozen"): (8, 6, 4, 4, 0, 4, 4, 4, 8),
    ("bfloat16", "lora"): (18, 8, 6, 4, 14, 4, 4, 4, 8),
    ("bfloat16", "full"): (26, 8, 4, 4, 0, 4, 6, 4, 8),
}
