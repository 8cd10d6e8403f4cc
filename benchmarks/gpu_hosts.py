"""Qwen2.5-VL in its published sizes, whole, with random weights on the device: every layer, tower and embedding row.

Sizes are those of the models' `config.json`. The tokenizer is the tests' own, of a few hundred tokens: it decides only
how many tokens a question has.
"""

import importlib.util
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

WINDOWED = "flash_windows_at_once"
"""Name of the attention that `use_windows_at_once` gives to the tower; transformers looks for `flash` in it."""
_SCRIPT = Path(__file__).parents[1] / "scripts" / "make_tiny_hosts.py"
_ROPE = {"rope_type": "default", "rope_theta": 1e6}


@dataclass(frozen=True)
class HostSize:
    """One size of Qwen2.5-VL.

    Attributes:
        text: what `config.json` says of the language model.
        vision: what it says of the tower.
        parameters: of the published weights; 0 for a size that nobody published.
        adapter: what differs from the report's adapter.
    """

    text: dict[str, Any]
    vision: dict[str, Any]
    parameters: int
    adapter: dict[str, Any] = field(default_factory=dict)


def _text(hidden: int, inner: int, layers: int, heads: int, pairs: int, rows: int, *, tied: bool) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": pairs,
        "vocab_size": rows,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 128_000,
        "rope_parameters": _ROPE | {"mrope_section": [16, 24, 24]},
    }


def _vision(out: int, inner: int) -> dict[str, Any]:
    return {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": inner,
        "num_heads": 16,
        "out_hidden_size": out,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    }


SIZES = {
    # For a rehearsal without a GPU: everything runs, no figure means anything.
    "tiny": HostSize(
        _text(256, 256, 2, 2, 1, 512, tied=False),
        {**_vision(256, 64), "depth": 2, "hidden_size": 64, "num_heads": 2, "fullatt_block_indexes": [1]},
        0,
        {"hidden_size": 96, "map_size": 16, "branch": "conv", "ssm_layers": 1, "alignment_hidden_size": 96},
    ),
    "3B": HostSize(_text(2048, 11008, 36, 16, 2, 151_936, tied=True), _vision(2048, 3420), 3_754_622_976),
    "7B": HostSize(_text(3584, 18944, 28, 28, 4, 152_064, tied=False), _vision(3584, 3420), 8_292_166_656),
    "72B": HostSize(_text(8192, 29568, 80, 64, 8, 152_064, tied=False), _vision(8192, 3456), 73_410_777_344),
}


def write_host(folder: Path, size: HostSize) -> None:
    """Write configuration, tokenizer and image processor, as `load_host` reads them; no weights."""
    spec = importlib.util.spec_from_file_location("make_tiny_hosts", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    tiny_hosts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny_hosts)
    tiny_hosts.MAKERS["qwen2_5_vl"](folder)
    (folder / "model.safetensors").unlink()
    tiny = Qwen2_5_VLConfig.from_pretrained(folder)
    known = tiny.to_dict()
    ids = {name: known["text_config"][name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    config = Qwen2_5_VLConfig(
        text_config=size.text | ids,
        vision_config=size.vision,
        tie_word_embeddings=size.text["tie_word_embeddings"],
        **{name: known[name] for name in names},
    )
    config.save_pretrained(folder)


def build_network(
    folder: Path, device: torch.device, *, dtype: torch.dtype, four_bits: bool
) -> Qwen2_5_VLForConditionalGeneration:
    """The host's network, frozen, in inference mode.

    With `four_bits`, all linear layers except the head are packed as `load_weights` has them packed (NF4, double
    quantisation), each as soon as it is made, so that the whole model is never in memory in `dtype`.
    """
    config = Qwen2_5_VLConfig.from_pretrained(folder)
    text = cast(Any, config.get_text_config())
    layers, kinds = text.num_hidden_layers, deepcopy(text.layer_types)
    if four_bits:
        text.num_hidden_layers, text.layer_types = 1, kinds[:1]
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            network = Qwen2_5_VLForConditionalGeneration(config)
            if four_bits:
                _pack(network, dtype)
                _add_packed_layers(network, layers, kinds, dtype)
    finally:
        torch.set_default_dtype(before)
    network.requires_grad_(False)
    return network.eval()


def count_parameters(network: nn.Module) -> int:
    """Of the network as it would be without packing; tied weights count once."""
    return sum(
        parameter.numel() if parameter.is_floating_point() else 2 * parameter.numel()
        for parameter in network.parameters()
    )


def use_windows_at_once(network: Qwen2_5_VLForConditionalGeneration, *, on: bool) -> None:
    """Have the tower's attention take all windows of all pictures in one kernel call, or (off) one call each.

    One call each is what transformers does without the package flash-attn. The kernel is torch's own; CUDA alone.
    """
    AttentionInterface.register(WINDOWED, _attend_at_once)
    cast(Any, network).model.visual.config._attn_implementation = WINDOWED if on else "sdpa"


def _attend_at_once(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    **options: Any,
) -> tuple[Tensor, None]:
    """[1, heads, T, width] and where windows begin and end -> [1, T, heads, width]."""
    from torch.nn.attention.varlen import varlen_attn

    del module, attention_mask, options
    ends = cu_seq_lens_q.to(device=query.device, dtype=torch.int32)
    query, key, value = (states[0].transpose(0, 1).contiguous() for states in (query, key, value))
    return cast(Tensor, varlen_attn(query, key, value, ends, ends, max_length_q, max_length_q))[None], None


def _pack(module: nn.Module, dtype: torch.dtype) -> None:
    """Put packed layers in place of all linear ones within `module`, except the head."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    options = {"compress_statistics": True, "quant_type": "nf4"}
    for name, layer in list(module.named_modules()):
        if type(layer) is not nn.Linear or name.endswith("lm_head"):
            continue
        with torch.device("meta"):
            packed = Linear4bit(
                layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=dtype, **options
            )
        weight = layer.weight.detach()
        packed.weight = Params4bit(weight, requires_grad=False, **options).to(weight.device)
        packed.bias = layer.bias
        module.set_submodule(name, packed)


def _add_packed_layers(
    network: Qwen2_5_VLForConditionalGeneration, layers: int, kinds: list[str], dtype: torch.dtype
) -> None:
    decoder = cast(Any, network).get_decoder()
    config = decoder.config
    config.num_hidden_layers, config.layer_types = layers, kinds
    for place in range(1, layers):
        layer = type(decoder.layers[0])(config, place)
        _pack(layer, dtype)
        decoder.layers.append(layer)
