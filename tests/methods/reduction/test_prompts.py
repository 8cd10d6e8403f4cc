"""Prompts that lost tokens, held against sequences put together by hand, on every kind of host."""

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.methods.protocol import Reduced
from himmel.methods.reduction.prompts import cut_prompts
from himmel.methods.reduction.tokens import DROPPED, Reduction
from himmel.methods.removed import Removed
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from himmel.model.inputs import ModelInputs
from himmel.model.prompt import IGNORED
from himmel.model.sample import PreparedSample
from himmel.model.view import share_weights
from tiny_hosts import Setup


@dataclass(frozen=True)
class Case:
    """A host and two videos of two and three frames."""

    model: HostModel
    encoder: PromptEncoder
    samples: list[PreparedSample]

    def counts(self, sample: PreparedSample) -> list[int]:
        return [rows * columns for rows, columns in self.model.host.image_grids(sample.images)]

    def see(self, inputs: ModelInputs) -> BaseModelOutputWithPooling:
        with torch.no_grad():
            return cast(BaseModelOutputWithPooling, self.model.see(inputs.images))

    def reductions(self, seed: int = 0) -> list[Reduction]:
        """Some tokens kept, some merged into those, some dropped; all of one frame gone."""
        chance = np.random.default_rng(seed)
        made = []
        for number, sample in enumerate(self.samples):
            counts = self.counts(sample)
            kept = chance.random(sum(counts)) < 0.4
            kept[0] = True
            if number:
                kept[counts[0] : counts[0] + counts[1]] = False
            into = np.where(chance.random(len(kept)) < 0.5, chance.choice(np.flatnonzero(kept), len(kept)), DROPPED)
            into[kept] = np.flatnonzero(kept)
            weights = torch.from_numpy(chance.uniform(0.5, 2, len(kept)).astype(np.float32))
            made.append(Reduction(into=torch.from_numpy(into), counts=tuple(counts), weights=weights))
        return made


@pytest.fixture
def case(host_setup: Setup) -> Case:
    model = HostModel(host_setup.model.host, share_weights(host_setup.model.network))
    chance = np.random.default_rng(7)
    samples = [
        PreparedSample.of_pictures(
            model.host.prepare_images([chance.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(count)])
        )
        for count in (2, 3)
    ]
    return Case(model, PromptEncoder(model.host), samples)


def everything(case: Case) -> list[Reduction]:
    return [
        Reduction.keeping(torch.ones(sum(case.counts(sample)), dtype=torch.bool), case.counts(sample))
        for sample in case.samples
    ]


def by_hand(case: Case, sample: PreparedSample, reduction: Reduction, question: str) -> Tensor:
    """Logits [L', V] of one prompt: embeddings, positions and DeepStack features laid out token by token."""
    inputs = case.encoder.encode([sample], [[(question, None)]])
    vision = cast(Any, case.see(inputs))
    network = cast(Any, case.model.network)
    layers = [torch.cat(list(vision.pooler_output))]
    if case.model.host.name == "qwen3_vl":
        layers += [torch.cat(list(layer)) for layer in vision.deepstack_features]
    into = reduction.into.tolist()
    weights = [1.0] * len(into) if reduction.weights is None else reduction.weights.tolist()
    columns: list[int] = []
    rows: list[list[Tensor]] = [[] for _ in layers]
    number = 0
    for column, token in enumerate(inputs.input_ids[0].tolist()):
        if token != case.model.host.image_token_id:
            columns.append(column)
            continue
        if into[number] == number:
            columns.append(column)
            members = [other for other, target in enumerate(into) if target == number]
            size = sum(weights[other] for other in members)
            for values, layer in zip(rows, layers, strict=True):
                values.append(sum(weights[other] * layer[other] for other in members) / size)  # type: ignore[arg-type]
        number += 1
    ids = inputs.input_ids[:, columns]
    is_image = ids == case.model.host.image_token_id
    embeddings = network.get_input_embeddings()(ids).clone()
    embeddings[is_image] = torch.stack(rows[0])
    positions = inputs.position_ids[..., columns]
    if positions.ndim == 3:
        positions[0] = torch.arange(len(columns))
    extra: dict[str, Any] = {}
    if len(layers) > 1:
        extra = {"visual_pos_masks": is_image, "deepstack_visual_embeds": [torch.stack(one) for one in rows[1:]]}
    with torch.no_grad():
        hidden = network.model.language_model(
            inputs_embeds=embeddings, attention_mask=torch.ones_like(ids), position_ids=positions, **extra
        ).last_hidden_state
        return cast(Tensor, network.lm_head(hidden)[0])


def run(case: Case, reduced: Reduced) -> Tensor:
    with torch.no_grad():
        return cast(Tensor, case.model(reduced.inputs, vision=reduced.vision).logits)


QUESTIONS = ["What moves?", "And which way does it go, if it goes anywhere?"]


def encode(case: Case) -> ModelInputs:
    return case.encoder.encode(case.samples, [[(question, None)] for question in QUESTIONS])


def test_keeping_everything_changes_nothing(case: Case) -> None:
    inputs = encode(case)
    vision = case.see(inputs)
    reduced = cut_prompts(inputs, vision, everything(case), case.model.host)
    assert torch.equal(reduced.inputs.input_ids, inputs.input_ids)
    assert torch.equal(reduced.inputs.position_ids, inputs.position_ids)
    assert torch.equal(reduced.inputs.attention_mask, inputs.attention_mask)
    with torch.no_grad():
        dense = case.model(inputs, vision=vision).logits
    assert torch.equal(run(case, reduced), dense)


def test_fewer_tokens_are_the_sequence_made_by_hand(case: Case) -> None:
    inputs, reductions = encode(case), case.reductions()
    reduced = cut_prompts(inputs, case.see(inputs), reductions, case.model.host)
    logits = run(case, reduced)
    for row, (sample, reduction, question) in enumerate(zip(case.samples, reductions, QUESTIONS, strict=True)):
        expected = by_hand(case, sample, reduction, question)
        real = reduced.inputs.real[row]
        assert int(real.sum()) == len(expected)
        torch.testing.assert_close(logits[row][real], expected, rtol=1e-4, atol=1e-5)


def test_what_is_left_has_the_positions_that_it_had(case: Case) -> None:
    inputs, reductions = encode(case), case.reductions()
    reduced = cut_prompts(inputs, case.see(inputs), reductions, case.model.host)
    for row, columns in enumerate(reduced.columns):
        there = columns >= 0
        assert torch.equal(reduced.inputs.real[row], there)
        assert torch.equal(reduced.inputs.input_ids[row][there], inputs.input_ids[row][columns[there]])
        axes = slice(1, None) if inputs.position_ids.ndim == 3 else slice(None)
        new, old = (one.position_ids.reshape(-1, *one.position_ids.shape[-2:]) for one in (reduced.inputs, inputs))
        assert torch.equal(new[axes][:, row][:, there], old[axes][:, row][:, columns[there]])
        if inputs.position_ids.ndim == 3:
            # By this some implementations of attention tell packed sequences apart.
            assert reduced.inputs.position_ids[0, row][there].tolist() == list(range(int(there.sum())))
    assert reduced.removed == tuple(
        Removed("tokens", len(one.into), one.num_kept, one.num_merged) for one in reductions
    )
    assert min(one.num_merged for one in reductions) > 0


def test_answers_go_on_from_the_true_positions(case: Case) -> None:
    """Greedy generation is what full passes give, each with the tokens before it."""
    inputs = encode(case)
    vision, reductions = case.see(inputs), case.reductions()
    reduced = cut_prompts(inputs, vision, reductions, case.model.host)
    ids = case.model.generate(reduced.inputs, vision=reduced.vision, max_new_tokens=3, do_sample=False)
    length = reduced.inputs.input_ids.shape[1]
    answers = ids[:, length:]
    so_far = reduced.inputs
    for step in range(answers.shape[1]):
        with torch.no_grad():
            scores = case.model(so_far, vision=reduced.vision).logits[:, -1].clone()
        scores[:, case.model.host.motion_token_id] = -torch.inf
        for row, token in enumerate(answers[:, step].tolist()):
            # Rows that ended are padded.
            if token != case.model.host.tokenizer.pad_token_id:
                assert scores[row, token] == pytest.approx(float(scores[row].max()), abs=1e-4)
        ones = so_far.attention_mask.new_ones(len(answers), 1)
        so_far = replace(
            so_far,
            input_ids=torch.cat([so_far.input_ids, answers[:, step : step + 1]], 1),
            attention_mask=torch.cat([so_far.attention_mask, ones], 1),
            position_ids=torch.cat([so_far.position_ids, so_far.position_ids[..., -1:] + 1], -1),
        )


def test_labels_and_options_follow_their_tokens(case: Case) -> None:
    """A tree of options scores each as a prompt of its own does."""
    options = [["left", "up and away"], ["one", "two three", "a long one"]]
    asked = case.encoder.encode_choices(
        case.samples, [[(question, texts)] for question, texts in zip(QUESTIONS, options, strict=True)]
    )
    reductions = case.reductions()
    reduced = cut_prompts(asked.inputs, case.see(asked.inputs), reductions, case.model.host)
    assert reduced.inputs.independent
    assert torch.equal(reduced.inputs.real, reduced.columns >= 0)
    assert reduced.inputs.attention_mask.any(-1).all()
    index = asked.index.gather(1, reduced.columns.clamp(min=0)).masked_fill(reduced.columns < 0, -1)
    cut = replace(asked, inputs=reduced.inputs, index=index)
    together = case.model.score_choices(cut, vision=reduced.vision)
    for number, texts in enumerate(options):
        for place, text in enumerate(texts):
            alone = likelihood(case, case.samples[number], reductions[number], QUESTIONS[number], text)
            assert float(together[number][0][place]) == pytest.approx(alone, abs=2e-3)


def likelihood(case: Case, sample: PreparedSample, reduction: Reduction, question: str, answer: str) -> float:
    inputs = case.encoder.encode([sample], [[(question, answer)]])
    reduced = cut_prompts(inputs, case.see(inputs), [reduction], case.model.host)
    labels = cast(Tensor, reduced.inputs.labels)[0]
    with torch.no_grad():
        logits = case.model(reduced.inputs.without_labels(), vision=reduced.vision).logits[0]
    chances = logits[:-1].float().log_softmax(-1)
    return sum(float(chances[place, label]) for place, label in enumerate(labels[1:].tolist()) if label != IGNORED)


def test_a_batch_is_padded_on_the_left_anew(case: Case) -> None:
    """A prompt that lost most of its tokens does not keep the length that it had."""
    inputs = encode(case)
    reductions = everything(case)
    few = torch.zeros(len(reductions[1].into), dtype=torch.bool)
    few[-1] = True
    reductions[1] = Reduction.keeping(few, reductions[1].counts)
    reduced = cut_prompts(inputs, case.see(inputs), reductions, case.model.host)
    lengths = reduced.inputs.real.sum(1).tolist()
    assert reduced.inputs.input_ids.shape[1] == max(lengths)
    assert sorted(lengths) != [max(lengths)] * 2
    logits = run(case, reduced)
    for row in range(2):
        expected = by_hand(case, case.samples[row], reductions[row], QUESTIONS[row])
        torch.testing.assert_close(logits[row][reduced.inputs.real[row]], expected, rtol=1e-4, atol=1e-5)
