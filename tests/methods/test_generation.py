"""Answers that are written together: who joins when, and ends when, changes nothing for the others."""

import weakref
from typing import Any

import pytest
import torch

from himmel.methods.asking import Asking
from himmel.methods.decoding import Decoding
from himmel.methods.generation import Generation, ReadPrompts
from himmel.methods.protocol import Reply, Shown
from himmel.methods.question import Question
from himmel.model.host_model import HostModel
from himmel.model.inputs import ModelInputs
from tiny_hosts import Setup, build, host_config

TEXTS = ("What moves?", "Which way does it move, and how fast does it go?", "Where?")


def prompts(setup: Setup, text: str) -> Any:
    sample = setup.samples[0]
    return setup.processor.encode([sample], [[(text, None)]]), setup.processor.prompt_ids(sample, [(text, None)])


def test_rows_that_join_later_get_what_generate_gives(host_setup: Setup) -> None:
    generation = Generation(host_setup.model)
    rows, known = [], []
    for number, text in enumerate(TEXTS):
        inputs, ids = prompts(host_setup, text)
        most = 7 - 2 * number
        read = ReadPrompts.read(host_setup.model, inputs)
        rows += generation.join(read, [ids], [Decoding(max_new_tokens=most)])
        known.append(host_setup.model.generate(inputs, max_new_tokens=most, do_sample=False)[0, len(ids) :].tolist())
        generation.step()
    while generation.rows:
        generation.step()
    found = [row.steps.ids[0] for row in rows]
    assert [own[: len(other)] for own, other in zip(found, known, strict=True)] == found
    assert all(row.done for row in rows)


def test_what_ends_leaves_no_column_behind(host_setup: Setup) -> None:
    generation = Generation(host_setup.model)
    for text, most in ((TEXTS[1], 1), (TEXTS[1], 2), (TEXTS[0], 4)):
        inputs, ids = prompts(host_setup, text)
        generation.join(ReadPrompts.read(host_setup.model, inputs), [ids], [Decoding(max_new_tokens=most)])
    assert len(generation.rows) == 2
    generation.step()
    assert len(generation.rows) == 1
    assert generation._read is not None
    assert generation._read.mask.all()
    length = len(prompts(host_setup, TEXTS[0])[1]) + 1
    assert generation._read.cache.get_seq_length() == length
    assert generation._ids.shape == (1, length + 1)


@pytest.mark.parametrize("most", [1, None])
def test_questions_join_at_any_step(qwen_folder: str, most: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free ones and options, read one at a time or together; one whose prompt is too long fails for itself alone."""
    host_setup = build(host_config("qwen2_5_vl", qwen_folder))
    monkeypatch.setattr(host_setup.model.host, "context_length", 100)
    video = Shown(host_setup.samples[0])
    asked = [Question(TEXTS[0]), Question("Why " * 100), Question(TEXTS[1], ("left", "right")), Question(TEXTS[2])]
    known = []
    for question in asked:
        alone = Asking(host_setup.model, host_setup.processor, motion=True)
        alone.join(video, question, Decoding(max_new_tokens=5))
        found: dict[int, Any] = {}
        while alone.count:
            found |= alone.step()
        known.append(found[1])
    asking = Asking(host_setup.model, host_setup.processor, motion=True)
    asking._most = most
    outcomes: dict[int, Reply | Exception] = {}
    for question in asked:
        asking.join(video, question, Decoding(max_new_tokens=5))
        outcomes |= asking.step()
    dropped = asking.join(video, asked[0], Decoding())
    assert asking.drop(dropped)
    assert not asking.drop(dropped)
    while asking.count:
        outcomes |= asking.step()
    assert sorted(outcomes) == [1, 2, 3, 4]
    for number, own in enumerate(known, start=1):
        outcome = outcomes[number]
        if isinstance(own, Exception):
            assert (type(outcome), str(outcome)) == (type(own), str(own))
            continue
        assert isinstance(outcome, Reply)
        assert outcome.text == own.text
        assert torch.allclose(torch.tensor(outcome.likelihoods), torch.tensor(own.likelihoods), atol=1e-4)
    assert isinstance(known[1], Exception)


def test_what_finds_no_memory_to_join_has_not_begun(qwen_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is a token of it told, nor does it hold up the answer that is being written."""
    setup = build(host_config("qwen2_5_vl", qwen_folder))
    video, heard = Shown(setup.samples[0]), []
    alone, asking = (Asking(setup.model, setup.processor, motion=True) for _ in range(2))
    for one in (alone, asking):
        one.join(video, Question(TEXTS[0]), Decoding(max_new_tokens=6))
        one.step()
    with monkeypatch.context() as patched:
        patched.setattr(ReadPrompts, "beside", _find_no_memory)
        late = asking.join(video, Question(TEXTS[1]), Decoding(hear=lambda token: not heard.append(token)))
        outcomes = asking.step()
    assert isinstance(outcomes.pop(late), RuntimeError)
    assert not heard
    replies = []
    for one in (alone, asking):
        while one.count:
            outcomes |= one.step()
        replies.append(outcomes.pop(1))
    assert isinstance(replies[0], Reply)
    assert replies[1].text == replies[0].text


def test_prompts_read_one_by_one_find_the_memory_of_those_that_failed_together(
    qwen_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = build(host_config("qwen2_5_vl", qwen_folder))
    read, held = HostModel.read, []

    def read_few(model: HostModel, inputs: ModelInputs, **options: Any) -> torch.Tensor:
        assert [one() for one in held] == [None] * len(held)
        held.append(weakref.ref(options["cache"]))
        if len(held) < 3:
            _find_no_memory()
        return read(model, inputs, **options)

    monkeypatch.setattr(HostModel, "read", read_few)
    asking = Asking(setup.model, setup.processor, motion=True)
    asking._most = None
    for text in TEXTS:
        asking.join(Shown(setup.samples[0]), Question(text), Decoding(max_new_tokens=1))
    outcomes = asking.step()
    assert [type(outcomes[number]) for number in (1, 2, 3)] == [RuntimeError, Reply, Reply]


def _find_no_memory(*_: Any) -> Any:
    raise RuntimeError("CUDA out of memory")
