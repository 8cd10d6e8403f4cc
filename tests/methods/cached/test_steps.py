"""Answers from a memory that holds everything are transformers' own."""

from typing import Any

import pytest
import torch
from torch import Tensor

from cached_reference import ask
from himmel.methods.cached.steps import continue_memory, score_texts
from himmel.methods.decoding import Decoding
from himmel.model.view import share_weights
from tiny_hosts import Setup

# More than are read at once.
OPTIONS = ("left", "to the right and then up", "no", "yes", "three times", "up")


def generate(setup: Setup, arguments: dict[str, Any], **options: Any) -> Tensor:
    network = share_weights(setup.model.network)
    suppressed = [setup.model.host.motion_token_id]
    made: Any = network.generate(**arguments, do_sample=False, suppress_tokens=suppressed, **options)
    return made[0, arguments["input_ids"].shape[1] :]


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_a_text_is_that_of_generate(host_setup: Setup, penalty: float) -> None:
    asked = ask(host_setup)
    asked.reader.network.generation_config.repetition_penalty = penalty
    memory, prediction = asked.read()
    continued = continue_memory(
        asked.reader, memory, prediction, prompt=asked.whole.ids, decoding=Decoding(max_new_tokens=12)
    )
    assert torch.equal(
        continued.ids, generate(host_setup, asked.arguments, max_new_tokens=12, repetition_penalty=penalty)
    )


def test_a_text_ends_with_the_turn(host_setup: Setup) -> None:
    """Whatever comes third is made an end of turn."""
    asked = ask(host_setup)
    memory, prediction = asked.read()
    six = Decoding(max_new_tokens=6)
    free = continue_memory(asked.reader, memory, prediction, prompt=asked.whole.ids, decoding=six).ids
    asked.reader.network.generation_config.eos_token_id = [int(free[2]), 1]
    ended = continue_memory(asked.reader, memory, prediction, prompt=asked.whole.ids, decoding=six).ids
    stop = 1 + next(place for place, token in enumerate(free.tolist()) if token in (int(free[2]), 1))
    assert torch.equal(ended, free[:stop])
    assert len(ended) <= 3


def test_options_score_as_in_one_pass(host_setup: Setup) -> None:
    asked, host = ask(host_setup), host_setup.model.host
    memory, prediction = asked.read()
    texts = [torch.tensor([*host.encode_text(option), host.chat.end]) for option in OPTIONS]
    scores = score_texts(asked.reader, memory, prediction, texts)
    assert [len(score) for score in scores] == [len(text) for text in texts]
    network = share_weights(host_setup.model.network)
    for text, score in zip(texts, scores, strict=True):
        runs = asked.parts.whole
        segment = asked.segment(runs, 0)
        ids = torch.cat([segment.ids, text])
        positions = torch.cat([segment.positions, asked.reader.text_positions(segment.end, len(text))], dim=1)
        with torch.no_grad():
            logits = network(
                input_ids=ids[None],
                position_ids=asked.reader.position_ids(positions[:, None], 0),
                **host.vision_inputs(asked.vision),
            ).logits[0]
        known = logits.log_softmax(-1)[len(segment.ids) - 1 : -1].gather(1, text[:, None])[:, 0]
        torch.testing.assert_close(score, known, rtol=1e-4, atol=1e-4)
