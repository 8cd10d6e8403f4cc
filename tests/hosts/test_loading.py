"""Weights spread over devices or packed into 4 bits."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLForConditionalGeneration

from himmel.errors import HostError, UsageError
from himmel.hosts import Loading, load_host, loading


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantization": "3bit"}, "quantization='3bit' does not exist; choose one of 4bit"),
        ({"device_map": "spread"}, "device_map='spread' does not exist; choose one of auto, balanced"),
        ({"device": "cpu", "device_map": "auto"}, "'cpu' and device_map='auto' both say where the host goes"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str, qwen_folder: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_host(qwen_folder).load_network(Loading(**options))


def test_four_bits_want_bitsandbytes_and_a_gpu(monkeypatch: pytest.MonkeyPatch, qwen_folder: str) -> None:
    host = load_host(qwen_folder)
    monkeypatch.setattr(loading, "is_bitsandbytes_available", lambda: False)
    with pytest.raises(UsageError, match="needs bitsandbytes, which is not installed; pip install bitsandbytes"):
        host.load_network(Loading(quantization="4bit"))
    monkeypatch.setattr(loading, "is_bitsandbytes_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="needs a GPU and this machine has none"):
        host.load_network(Loading(quantization="4bit"))


@pytest.mark.parametrize(("device_map", "place"), [(None, {"": 0}), ("auto", "auto")])
def test_four_bits_go_to_the_gpu_at_once(
    device_map: str | None, place: object, monkeypatch: pytest.MonkeyPatch, qwen_folder: str
) -> None:
    """No GPU is needed to see what transformers is asked for."""
    asked: dict[str, Any] = {}

    class Network(Qwen2_5_VLForConditionalGeneration):
        @classmethod
        def from_pretrained(cls, folder: str, **options: Any) -> Any:
            asked.update(options)
            return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, output_loading_info=True)

    host: Any = load_host(qwen_folder)
    monkeypatch.setattr(type(host), "network_class", Network)
    monkeypatch.setattr(loading, "is_bitsandbytes_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    host.load_network(Loading(quantization="4bit", device_map=device_map))
    packing = asked["quantization_config"]
    assert (packing.load_in_4bit, packing.bnb_4bit_quant_type) == (True, "nf4")
    assert packing.bnb_4bit_compute_dtype == asked["dtype"] == torch.bfloat16
    assert asked["device_map"] == place


def test_nano_is_never_spread_or_packed(nano_folder: str) -> None:
    with pytest.raises(UsageError, match="for large hosts; nano needs half a gigabyte"):
        load_host(nano_folder).load_network(Loading(device_map="auto"))


@pytest.mark.parametrize("kind", ["nano", "qwen2_5_vl"])
def test_weights_that_are_missing_are_not_drawn_at_random(
    kind: str, tiny_host: Callable[[str], str], tmp_path: Path
) -> None:
    folder = tmp_path / "host"
    shutil.copytree(tiny_host(kind), folder)
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if name.endswith("layers.0.mlp.up_proj.weight"))
    del weights[lost]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HostError, match=r"1 of its weights are missing, the first of them '.*up_proj\.weight'"):
        load_host(str(folder)).load_network()
