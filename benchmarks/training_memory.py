"""What one layer of a language model keeps for the backward pass, measured on tiny layers.

    python -m benchmarks.training_memory

Prints the constants of `himmel.training.memory.layers`: bytes per token and unit of width. A layer's kept bytes are a
sum of terms that are proportional to its widths, so that a least-squares fit over layers of many sizes gives the
constants, and what the fit leaves over says how good the formula is.
"""

import argparse
import itertools
import json
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen2Config, Qwen2Model, Qwen3Config, Qwen3Model

from himmel.model.lora import add_lora
from himmel.training.memory.kept import kept_bytes
from himmel.training.memory.layers import TERMS, LayerSize

_TARGETS = r".*(q|k|v|o|gate|up|down)_proj"
_WAYS = ("frozen", "lora", "full")
_PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class _Case:
    size: LayerSize
    tokens: int


def _cases() -> list[_Case]:
    """Widths that do not grow together, or the fit could not tell them apart."""
    found = []
    choices = itertools.product((2, 4), (1, 2), (16, 32), (48, 160), (4, 12), (False, True))
    for place, (heads, pairs, head, inner, rank, normed) in enumerate(choices):
        width = heads * head + 32 * (place % 3)
        size = LayerSize(width=width, inner=inner, heads=heads, pairs=pairs, head_width=head, normed=normed, rank=rank)
        found.append(_Case(size, 24 + 8 * heads))
    return found


def measure(case: _Case, *, way: str, precision: str) -> float:
    """Bytes that one layer keeps for each token: what three layers keep, less what two do."""
    kept = [_kept(case, layers, way=way, precision=precision) for layers in (2, 3)]
    return (kept[1] - kept[0]) / case.tokens


def _kept(case: _Case, layers: int, *, way: str, precision: str) -> int:
    size = case.size
    sizes: dict[str, Any] = {
        "vocab_size": 32,
        "hidden_size": size.width,
        "intermediate_size": size.inner,
        "num_hidden_layers": layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.pairs,
        "head_dim": size.head_width,
        "attn_implementation": "sdpa",
    }
    torch.manual_seed(0)
    # What learns is kept in float32; a frozen host is stored as it is computed.
    stored = torch.bfloat16 if precision == "bfloat16" and way != "full" else torch.float32
    model: PreTrainedModel = Qwen3Model(Qwen3Config(**sizes)) if size.normed else Qwen2Model(Qwen2Config(**sizes))
    nn.Module.to(model, stored)
    model.requires_grad_(way == "full").train()
    if way == "lora":
        add_lora(model, targets=_TARGETS, rank=size.rank, alpha=2 * size.rank, dropout=0.0)
    embeddings = torch.randn(1, case.tokens, size.width, dtype=stored, requires_grad=True)

    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return cast(Tensor, model(inputs_embeds=embeddings, use_cache=False).last_hidden_state)

    # Copies of weights that autocast makes are counted apart.
    return kept_bytes(run, model, casts=precision == "bfloat16")


def main() -> None:
    """Fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    cases = _cases()
    for precision in _PRECISIONS:
        for way in _WAYS:
            rows = np.array([case.size.terms for case in cases], np.float64)
            if way != "lora":
                rows[:, TERMS.index("rank")] = 0
            seen = np.array([measure(case, way=way, precision=precision) for case in cases])
            found, *_ = np.linalg.lstsq(rows, seen, rcond=None)
            error = np.abs(rows @ found / seen - 1).max()
            print(json.dumps({"precision": precision, "way": way, "error": round(float(error), 4)}))
            print("   ", dict(zip(TERMS, (round(float(one), 2) for one in found), strict=True)))


if __name__ == "__main__":
    main()
