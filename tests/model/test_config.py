from pathlib import Path

import pytest

from himmel.errors import HostError, UsageError
from himmel.model import HimmelConfig, HimmelProcessor
from tiny_hosts import make_decomposition, nano_config, tiny_adapter


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"placement": "anywhere"}, "placement='anywhere' does not exist; choose one of per_anchor"),
        ({"position_scheme": "spiral"}, "position_scheme='spiral' does not exist"),
        ({"context_source": "audio"}, "context_source='audio' does not exist"),
        ({"tokens_per_interval": 5}, "tokens_per_interval=5 is not possible; the adapter makes 1 to 4"),
        ({"tokens_per_interval": 0}, "tokens_per_interval=0 is out of range; give a whole number from 1 to 256"),
        ({"num_anchors": 65}, "num_anchors=65 is out of range; give a whole number from 1 to 64"),
        ({"steps_per_interval": 129}, "steps_per_interval=129 is out of range; give a whole number from 1 to 128"),
        ({"lora_rank": -1}, "lora_rank=-1 is out of range; give a whole number from 0 to"),
        ({"lora_alpha": 0}, "lora_alpha=0 is out of range; give a whole number from 1 to"),
        ({"lora_dropout": 7.0}, "lora_dropout=7.0 is out of range; give a number from 0 to 1"),
        ({"max_anchor_tokens": 0}, "max_anchor_tokens=0 is out of range; give a whole number from 1 to"),
        ({"anchor_mode": "random"}, "anchor_mode='random' does not exist; choose one of keyframe, exact"),
    ],
)
def test_impossible_settings_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        HimmelConfig(adapter_config=tiny_adapter(32), **changes)


@pytest.mark.parametrize(
    ("name", "value"), [("hidden_size", 0), ("attention_heads", 0), ("ssm_layers", -1), ("motion_channels", "x")]
)
def test_an_impossible_size_of_the_adapter_is_named(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{name}={value!r} is out of range; give a whole number from 1 to"):
        tiny_adapter(32, **{name: value})


def test_the_two_sizes() -> None:
    nano, paper = HimmelConfig.nano(), HimmelConfig.paper("some/host")
    assert (nano.motion_tokens, nano.context_source, nano.adapter.hidden_size) == (9, "tower", 192)
    assert (paper.motion_tokens, paper.context_source, paper.lora_rank, paper.lora_alpha) == (64, "rgb", 32, 64)


@pytest.mark.parametrize("tokens", [1, 3, 8, 32, 128, 256])
def test_any_number_of_tokens_suits_the_default_scheme(qwen_folder: str, tokens: int) -> None:
    adapter = tiny_adapter(48, tokens_per_interval=tokens)
    processor = HimmelProcessor(HimmelConfig(host=qwen_folder, adapter_config=adapter, max_anchor_tokens=12))
    inputs = processor.encode([processor.prepare(make_decomposition((1,)))], [[("What moves?", None)]])
    assert processor.position_scheme == "grid"
    assert processor.count_tokens(inputs)["motion"] == tokens


def test_an_adapter_of_too_many_tokens() -> None:
    with pytest.raises(UsageError, match="tokens_per_interval=257 is out of range; give a whole number from 1 to 256"):
        tiny_adapter(48, tokens_per_interval=257)


def test_adapter_and_host_must_fit(nano_folder: str, qwen_folder: str) -> None:
    with pytest.raises(HostError, match=r"24 wide and the host .* is 32 wide"):
        HimmelProcessor(nano_config(nano_folder, adapter_config=tiny_adapter(24)))
    with pytest.raises(HostError, match="use another host, or context_source='rgb' with the adapter's context_"):
        HimmelProcessor(nano_config(nano_folder, adapter_config=tiny_adapter(32)))
    with pytest.raises(HostError, match="gives None"):
        HimmelProcessor(nano_config(qwen_folder, adapter_config=tiny_adapter(48)))


def test_folders_without_a_checkpoint(tmp_path: Path, nano_folder: str) -> None:
    with pytest.raises(HostError, match=r"no readable config\.json"):
        HimmelProcessor.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(HostError, match=r"no readable config\.json"):
        HimmelProcessor.from_pretrained(tmp_path)
    with pytest.raises(HostError, match="holds a 'himmel_nano', not an HY-Himmel checkpoint"):
        HimmelProcessor.from_pretrained(nano_folder)
