import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from himmel.adapter import MotionAdapter
from himmel.errors import HostError
from himmel.methods.models import default_checkpoint
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor
from tiny_hosts import Setup, host_arguments, nano_config

ASK = [("What moves?", None)]


@pytest.fixture
def folder(setup: Setup, tmp_path: Path) -> Path:
    setup.model.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_a_checkpoint_holds_what_was_trained_and_no_more(setup: Setup, folder: Path) -> None:
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = {"config.json", "manifest.json", "adapter.safetensors"}
    expected |= {"lora/adapter_config.json", "lora/adapter_model.safetensors"}
    assert files == expected | ({"host_projector.safetensors"} if setup.config.context_source == "tower" else set())
    names = {name for name, _ in setup.model.adapter.named_parameters()}
    for name, value in load_file(folder / "adapter.safetensors").items():
        assert value.dtype == torch.bfloat16 or name not in names
    assert all(value.dtype == torch.bfloat16 for value in load_file(folder / "lora/adapter_model.safetensors").values())


def test_a_loaded_model_answers_as_the_saved_one(setup: Setup, folder: Path, tmp_path: Path) -> None:
    loaded = HimmelForConditionalGeneration.from_pretrained(folder)
    inputs = setup.processor.encode(setup.samples, [ASK, ASK])
    # Saving rounds to bfloat16 once; a second round trip changes nothing.
    torch.testing.assert_close(loaded(inputs).logits, setup.model(inputs).logits, rtol=0.1, atol=0.05)
    loaded.save_pretrained(tmp_path / "again")
    again = HimmelForConditionalGeneration.from_pretrained(tmp_path / "again")
    assert torch.equal(again(inputs).logits, loaded(inputs).logits)
    assert again.config.to_dict() == loaded.config.to_dict()


def test_the_configuration_survives(setup: Setup, folder: Path) -> None:
    loaded = HimmelConfig.load(folder)
    assert loaded.to_dict() == setup.config.to_dict()
    content = json.loads((folder / "config.json").read_text())
    assert "id2label" not in content
    assert content["lora_rank"] == setup.config.lora_rank


def test_peft_reads_the_lora_folder(setup: Setup, folder: Path) -> None:
    inputs = setup.processor.encode([setup.samples[0]], [ASK], motion=False)
    loaded = HimmelForConditionalGeneration.from_pretrained(folder)
    expected = loaded(inputs).logits
    network = loaded.host.load_network()
    for name, part in loaded.host.trained_parts(network).items():
        part.load_state_dict(loaded.host_parts()[name].state_dict())
    network = PeftModel.from_pretrained(network, folder / "lora").eval()
    torch.testing.assert_close(network(**host_arguments(inputs)).logits, expected, rtol=1e-5, atol=1e-6)


def test_another_folder_of_the_host_can_be_named(setup: Setup, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(setup.config.host, tmp_path / "host")
    loaded = HimmelForConditionalGeneration.from_pretrained(folder, host=str(copy))
    assert loaded.config.host == str(copy)
    assert HimmelProcessor.from_pretrained(folder, host=str(copy)).host.folder == str(copy)


@pytest.mark.parametrize("name", ["adapter.safetensors", "lora/adapter_model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_damaged_checkpoints_are_one_sentence(nano: Setup, tmp_path: Path, name: str, damage: str) -> None:
    nano.model.save_pretrained(tmp_path)
    file = tmp_path / name
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    else:
        shutil.copy(tmp_path / "host_projector.safetensors", file)
    with pytest.raises(HostError, match="cannot be loaded") as caught:
        HimmelForConditionalGeneration.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_host(nano: Setup, qwen: Setup, tmp_path: Path) -> None:
    nano.model.save_pretrained(tmp_path)
    with pytest.raises(HostError, match="use the host that the adapter was trained for"):
        HimmelForConditionalGeneration.from_pretrained(tmp_path, host=qwen.config.host)


def test_the_packages_own_checkpoint_is_older_than_the_choice_of_encoders() -> None:
    folder = default_checkpoint()
    stored = json.loads((folder / "config.json").read_text())["adapter_config"]
    config = HimmelConfig.load(folder)
    assert config.adapter.encoder == "ssm"
    own = config.adapter.to_dict()
    assert {name: own[name] for name in stored} == stored
    MotionAdapter(config.adapter).load_state_dict(load_file(folder / "adapter.safetensors"))


def test_a_model_without_lora(nano: Setup, nano_folder: str, tmp_path: Path) -> None:
    model = HimmelForConditionalGeneration.from_config(nano_config(nano_folder, lora_rank=0))
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "lora").exists()
    loaded = HimmelForConditionalGeneration.from_pretrained(tmp_path)
    inputs = nano.processor.encode([nano.samples[0]], [ASK])
    torch.testing.assert_close(loaded(inputs).logits, model(inputs).logits, rtol=0.1, atol=0.05)
