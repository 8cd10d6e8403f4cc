"""Bases that make every recipe small enough to run in a test."""

import json
from pathlib import Path
from typing import Any

import yaml

from tiny_hosts import tiny_adapter

_FEW = {"steps": 2, "batch_size": 1, "warmup_steps": 0, "gradient_accumulation": 1}
_STAGE = {"optimizer": _FEW, "compute": {"deepspeed": None}}
# Sizes alone: what a recipe is about, it says itself.
_SIZES = (
    "hidden_size",
    "map_size",
    "branch",
    "conv_channels",
    "conv_grid",
    "context_width",
    "ssm_layers",
    "ssm_expand",
)
_SIZES += ("ssm_state_size", "ssm_head_dim", "ssm_chunk_size", "attention_heads", "alignment_hidden_size")


def tiny_base(folder: Path, *, of: str, host: str, **model: Any) -> str:
    """A shipped base with a tiny host, a tiny adapter, two clips and two steps for each stage."""
    adapter = tiny_adapter(32)
    sizes = {
        name: value for name, value in json.loads(adapter.to_json_string(use_diff=False)).items() if name in _SIZES
    }
    siglip = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    content = {
        "inherits": f"base/{of}",
        "host": host,
        "model": {"steps_per_interval": 2, **model, "adapter": {**sizes, "siglip": siglip, **model.get("adapter", {})}},
        "data": {"source": "rendered", "clips": 2, "validation": None},
        "stage1": _STAGE,
        "stage2": {**_STAGE, "full_compute": _STAGE["compute"]},
        "output": str(folder / "runs"),
    }
    if of == "nano":
        # In single precision, in which processes that share a stage come to the same weights as one.
        exact = {**_STAGE, "compute": {**_STAGE["compute"], "precision": "float32"}}
        content["projector"] = {**exact, "stills": 8}
        content["stage2"] = {**content["stage2"], **exact}
    path = folder / f"tiny_{of}.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def files_recipe(
    folder: Path, corpus: Path, host: str, *, of: str = "qwen2_5_vl", workers: int = 0, **data: Any
) -> str:
    """A tiny recipe on the questions of a corpus."""
    sizes: dict[str, Any] = {} if of == "nano" else {"max_anchor_tokens": 12, "adapter": {"context_size": 16}}
    base = tiny_base(folder, of=of, host=host, num_anchors=2, **sizes)
    stage = {"optimizer": {"batch_size": 2, "log_every": 1}, "compute": {"workers": workers}}
    content = {
        "base": base,
        "data": {"source": "files", "folder": str(corpus), "sets": [{"annotations": "questions.jsonl"}], **data},
        "stage1": {"alignment": {"probe_weight": 0.0}, **stage},
        "stage2": {"blind_share": 0.0, **stage},
    }
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)
