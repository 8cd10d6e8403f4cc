import copy
from dataclasses import replace

import pytest
import torch

from himmel.errors import HostError, UsageError
from himmel.hosts import Loading
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor
from himmel.model.lora import lora_parameters
from tiny_hosts import Setup, host_arguments, make_decomposition, nano_config, qwen_config, with_motion

ASK = [("What moves?", None)]
TURNS = [("What moves?", "the red ball"), ("Which way?", "left")]


@pytest.fixture
def plain(setup: Setup) -> torch.nn.Module:
    """The host alone, loaded once more."""
    return setup.model.host.load_network()


def test_without_motion_the_logits_are_the_hosts_own(setup: Setup, plain: torch.nn.Module) -> None:
    inputs = setup.processor.encode(setup.samples, [ASK, [("Which way does it move?", None)]], motion=False)
    expected = plain(**host_arguments(inputs)).logits
    with torch.no_grad(), setup.model.disable_motion():
        assert torch.equal(setup.model(inputs).logits, expected)
    assert not torch.equal(setup.model(inputs).logits, expected)


def test_without_motion_qwens_own_positions_do_as_well(qwen: Setup) -> None:
    plain = qwen.model.host.load_network()
    inputs = qwen.processor.encode(qwen.samples, [ASK, ASK], motion=False)
    types = (inputs.input_ids == qwen.model.host.image_token_id).int()
    own = host_arguments(inputs)
    del own["position_ids"]
    expected = plain(**own, mm_token_type_ids=types).logits
    with qwen.model.disable_motion():
        given = qwen.model(inputs).logits
    real = inputs.attention_mask.bool()
    assert torch.equal(given[real], expected[real])


@pytest.mark.parametrize("make", [nano_config, qwen_config])
def test_a_fresh_model_without_motion_is_the_host(make: type, nano_folder: str, qwen_folder: str) -> None:
    folder = nano_folder if make is nano_config else qwen_folder
    model = HimmelForConditionalGeneration.from_config(make(folder))
    processor = HimmelProcessor(model.config, model.host)
    inputs = processor.encode([processor.prepare(make_decomposition())], [ASK], motion=False)
    expected = model.host.load_network()(**host_arguments(inputs)).logits
    assert torch.equal(model(inputs).logits, expected)


def test_motion_changes_what_the_model_says(setup: Setup) -> None:
    inputs = setup.processor.encode([setup.samples[0]], [ASK])
    before = setup.model(inputs).logits[0, -1]
    inputs = with_motion(inputs, motion=inputs.motion.motion + 1)
    assert not torch.allclose(setup.model(inputs).logits[0, -1], before, atol=1e-4)


def test_disabled_motion_refuses_motion(setup: Setup) -> None:
    inputs = setup.processor.encode([setup.samples[0]], [ASK])
    with setup.model.disable_motion(), pytest.raises(HostError, match="encode them with motion=False"):
        setup.model(inputs)


def test_disabling_motion_leaves_what_learns(nano: Setup) -> None:
    model = nano.model
    model.train_only(["adapter"])
    try:
        with model.disable_motion():
            pass
        assert not any(parameter.requires_grad for parameter in lora_parameters(model.network))
    finally:
        model.train_only(["adapter", "lora"])
    assert all(parameter.requires_grad for parameter in lora_parameters(model.network))


def test_a_batch_is_its_samples(setup: Setup) -> None:
    both = setup.processor.encode(setup.samples, [ASK, [("Which way does the red ball move?", None)]])
    together = setup.model(both).logits
    for index, (sample, turns) in enumerate(
        zip(setup.samples, [ASK, [("Which way does the red ball move?", None)]], strict=True)
    ):
        alone = setup.model(setup.processor.encode([sample], [turns])).logits
        torch.testing.assert_close(together[index, -alone.shape[1] :], alone[0], rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_hosts_loss_over_the_whole_sequence(setup: Setup) -> None:
    inputs = setup.processor.encode(setup.samples, [TURNS, TURNS[:1]])
    output = setup.model(inputs)
    full = setup.model(inputs.without_labels()).logits
    shifted = inputs.labels[:, 1:]
    expected = torch.nn.functional.cross_entropy(full[:, :-1][shifted >= 0], shifted[shifted >= 0])
    torch.testing.assert_close(output.loss, expected)
    assert output.logits.shape == (int((shifted >= 0).sum()), setup.model.host.vocab_size)


def test_independent_turns_are_asked_as_if_alone(setup: Setup) -> None:
    packed = setup.processor.encode(setup.samples, [TURNS, TURNS[1:]], independent=True)
    logits = setup.model(packed).logits
    alone = [
        setup.model(setup.processor.encode([sample], [[turn]])).logits
        for sample, turns in zip(setup.samples, [TURNS, TURNS[1:]], strict=True)
        for turn in turns
    ]
    torch.testing.assert_close(logits, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_gradients_reach_what_learns_and_nothing_else(nano: Setup) -> None:
    model = copy.deepcopy(nano.model)
    model.train_only(["adapter", "lora", "host_projector"])
    images = nano.processor.encode(nano.samples, [TURNS, TURNS])
    model(images).loss.backward()
    touched = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert all(name.startswith("adapter.") or ".lora_" in name or ".projector." in name for name in touched)
    assert any(name.startswith("adapter.branches") for name in touched)
    assert any("lora_A" in name for name in touched)
    assert "network.model.projector.out.weight" in touched


def test_generation_is_repeated_forwards(setup: Setup) -> None:
    inputs = setup.processor.encode([setup.samples[0]], [ASK])
    generated = setup.model.generate(inputs, max_new_tokens=4, do_sample=False)
    ids, positions = inputs.input_ids, inputs.position_ids
    for _ in range(generated.shape[1] - ids.shape[1]):
        step = replace(inputs, input_ids=ids, position_ids=positions, attention_mask=torch.ones_like(ids))
        best = setup.model(step).logits[:, -1:].argmax(-1)
        ids = torch.cat([ids, best], dim=1)
        positions = torch.cat([positions, positions[..., -1:] + 1], dim=-1)
    assert torch.equal(generated, ids)


def test_an_earlier_call_of_the_host_leaves_no_trace(qwen: Setup) -> None:
    inputs = qwen.processor.encode([qwen.samples[0]], [ASK])
    expected = qwen.model.generate(inputs, max_new_tokens=3, do_sample=False)
    other = qwen.processor.encode([qwen.samples[1]], [ASK], motion=False)
    types = (other.input_ids == qwen.model.host.image_token_id).int()
    own = host_arguments(other)
    del own["position_ids"]
    qwen.model.network.generate(**own, mm_token_type_ids=types, max_new_tokens=2)
    assert qwen.model.network.model.rope_deltas is not None
    assert torch.equal(qwen.model.generate(inputs, max_new_tokens=3, do_sample=False), expected)


def test_independent_questions_cannot_be_continued(nano: Setup) -> None:
    inputs = nano.processor.encode([nano.samples[0]], [[("Who?", "the ball"), *ASK]], independent=True)
    with pytest.raises(UsageError, match="encode one question for each video"):
        nano.model.generate(inputs)


def test_kept_features_change_nothing_but_rounding(nano: Setup) -> None:
    sample = nano.processor.prepare(make_decomposition((2, 1), seed=4))
    kept = nano.model.keep_features(sample)
    logits = [nano.model(nano.processor.encode([one], [ASK])).logits for one in (sample, kept)]
    torch.testing.assert_close(logits[0], logits[1], rtol=0.02, atol=5e-3)


def test_unknown_parts_are_named(qwen: Setup) -> None:
    with pytest.raises(UsageError, match="no part 'host_projector' to train; choose among adapter, lora"):
        qwen.model.train_only(["host_projector"])


def test_tokens_start_at_the_scale_of_words(setup: Setup) -> None:
    tokens = setup.model(setup.processor.encode([setup.samples[0]], [ASK])).motion.tokens
    words = setup.model.network.get_input_embeddings().weight.std()
    assert float(tokens.detach().std()) == pytest.approx(float(words), rel=0.1)


@pytest.mark.parametrize("make", [nano_config, qwen_config])
def test_a_bfloat16_host_works_with_a_float32_adapter(make: type, nano_folder: str, qwen_folder: str) -> None:
    folder = nano_folder if make is nano_config else qwen_folder
    model = HimmelForConditionalGeneration.from_config(make(folder), loading=Loading(dtype=torch.bfloat16))
    processor = HimmelProcessor(model.config, model.host)
    sample = processor.prepare(make_decomposition())
    assert model.network.get_input_embeddings().weight.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}
    output = model(processor.encode([sample], [TURNS], independent=True))
    output.loss.backward()
    assert output.logits.dtype == torch.bfloat16
    assert model.generate(processor.encode([sample], [ASK]), max_new_tokens=2).shape[0] == 1
    scores = model.score_choices(processor.encode_choices([sample], [[("Which way?", ["left", "right"])]]))
    assert torch.isfinite(scores[0][0]).all()
