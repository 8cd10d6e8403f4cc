from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from himmel.adapter import MotionAdapter
from himmel.nano.clips import VALUE_COLUMNS
from himmel.training.alignment import AlignmentModel
from himmel.training.probes import CAPTION_TOKENS, MotionProbes, ProbeTargets, caption, caption_ids, caption_vocabulary
from himmel.training.recipe import AlignmentSection
from himmel.training.store import ClipStore
from tiny_hosts import Setup
from training_batches import alignment_collator


def test_the_projector_leaves_stage_1_as_the_alignment_head_with_weights_of_its_own(setup: Setup) -> None:
    adapter = MotionAdapter(setup.config.adapter)
    model = AlignmentModel(adapter, section=AlignmentSection(), probes=None)
    with torch.no_grad():
        adapter.alignment_head.output.weight.add_(1.0)
    assert adapter.projector.output.weight is adapter.alignment_head.output.weight
    model.release()
    assert adapter.projector.output.weight is not adapter.alignment_head.output.weight
    torch.testing.assert_close(adapter.projector.output.weight, adapter.alignment_head.output.weight)
    torch.testing.assert_close(adapter.projector.input.weight, adapter.alignment_head.inputs["fused"].weight)


def _probes(setup: Setup) -> MotionProbes:
    embeddings = setup.model.network.get_input_embeddings().weight
    vocabulary = sorted(caption_vocabulary(setup.model.host))
    return MotionProbes(embeddings, num_values=len(VALUE_COLUMNS), vocabulary=vocabulary)


def test_loss_is_the_alignment_plus_the_weighted_probes(setup: Setup, filled_store: Callable[[int], ClipStore]) -> None:
    batch = alignment_collator(filled_store(4), setup)([(0, 1), (1, 3)])
    probes = _probes(setup)
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        torch.manual_seed(0)
        adapter = MotionAdapter(setup.config.adapter).eval()
        model = AlignmentModel(adapter, section=AlignmentSection(probe_weight=weight), probes=probes)
        result = model(**batch)
        losses[weight] = result["loss"].item()
        probed = (result["parts"]["probe_values"] + result["parts"]["probe_words"]).item()
    assert abs(losses[1.0] - losses[0.0] - probed) < 1e-4
    assert abs(losses[3.0] - losses[0.0] - 3 * probed) < 1e-4


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        ((0, -1, -1, 6, -1, -1), "nothing moves"),
        ((1, 0, 1, 6, 0, 4), "moves left top right fast"),
        ((1, 3, -1, 6, 0, 1), "moves down slowly"),
        ((1, -1, 2, 6, 2, -1), "jumps bottom left"),
        ((2, -1, -1, 0, -1, 2), "camera pans left steadily"),
        ((2, -1, -1, 5, -1, -1), "camera zooms out"),
        ((3, -1, 0, 6, 7, -1), "disappears top left"),
    ],
)
def test_captions_say_what_the_classes_mean(classes: tuple[int, ...], text: str, setup: Setup) -> None:
    assert caption(classes) == text
    ids = caption_ids(torch.tensor([classes]), setup.model.host)
    assert ids.shape == (1, CAPTION_TOKENS)
    whole = setup.model.host.encode_text(" " + text)
    assert ids[0, : len(whole)].tolist() == whole[:CAPTION_TOKENS]
    assert set(ids.flatten().tolist()) <= caption_vocabulary(setup.model.host)


def test_tokens_that_are_the_words_themselves_are_read_without_a_miss(setup: Setup) -> None:
    embeddings = setup.model.network.get_input_embeddings().weight.detach()
    words = caption_ids(torch.tensor([[1, 0, 1, 6, 0, 2], [2, -1, -1, 5, -1, -1]]), setup.model.host)
    targets = ProbeTargets(values=torch.zeros(2, len(VALUE_COLUMNS)), words=words)
    right = _probes(setup)(embeddings[words], targets)
    wrong = _probes(setup)(embeddings[words].flip(0), targets)
    assert right["misread"] == 0
    assert right["words"] < wrong["words"]


def test_word_loss_equals_a_literal_computation(setup: Setup) -> None:
    probes = _probes(setup)
    tokens = torch.randn(2, 7, setup.config.adapter.host_hidden_size)
    words = caption_ids(torch.tensor([[0, -1, -1, 6, -1, -1], [1, 2, 3, 6, 0, 1]]), setup.model.host)
    vocabulary = sorted(caption_vocabulary(setup.model.host))
    table = setup.model.network.get_input_embeddings().weight.detach()[vocabulary]
    table = table - table.mean(1, keepdim=True)
    total = 0.0
    for row in range(2):
        for place in range(CAPTION_TOKENS):
            token = tokens[row, place] - tokens[row, place].mean()
            cosines = torch.stack([functional.cosine_similarity(token, word, dim=0) for word in table])
            right = vocabulary.index(int(words[row, place]))
            total += float(-torch.log_softmax(cosines / 0.1, 0)[right] + 1 - cosines[right])
    result = probes(tokens, ProbeTargets(values=torch.zeros(2, len(VALUE_COLUMNS)), words=words))["words"]
    assert abs(float(result.detach()) - total / 2) < 1e-4
