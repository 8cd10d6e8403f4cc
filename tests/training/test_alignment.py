from collections.abc import Callable

import torch

from himmel.adapter import MotionAdapter
from himmel.nano.clips import CLASS_SIZES, VALUE_COLUMNS
from himmel.training.alignment import AlignmentModel
from himmel.training.batches import AlignmentCollator
from himmel.training.probes import MotionProbes, ProbeTargets
from himmel.training.recipe import AlignmentSection
from himmel.training.store import ClipStore
from tiny_hosts import Setup


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


def test_loss_is_the_alignment_plus_the_weighted_probes(setup: Setup, filled_store: Callable[[int], ClipStore]) -> None:
    batch = AlignmentCollator(filled_store(4), setup.model)([(0, 1), (1, 3)])
    width = setup.config.adapter.host_hidden_size
    probes = MotionProbes(width=width, num_values=len(VALUE_COLUMNS), class_sizes=CLASS_SIZES)
    losses = {}
    for weight in (0.0, 1.0, 3.0):
        torch.manual_seed(0)
        adapter = MotionAdapter(setup.config.adapter).eval()
        model = AlignmentModel(adapter, section=AlignmentSection(probe_weight=weight), probes=probes)
        result = model(**batch)
        losses[weight] = result["loss"].item()
        probed = (result["parts"]["probe_values"] + result["parts"]["probe_classes"]).item()
    assert abs(losses[1.0] - losses[0.0] - probed) < 1e-4
    assert abs(losses[3.0] - losses[0.0] - 3 * probed) < 1e-4


def test_probes_leave_out_classes_without_a_meaning() -> None:
    probes = MotionProbes(width=8, num_values=1, class_sizes=(3, 4))
    tokens = torch.randn(2, 5, 8)
    values = torch.zeros(2, 1)
    some = probes(tokens, ProbeTargets(values=values, classes=torch.tensor([[0, -1], [2, -1]])))["classes"]
    read = probes.norm(tokens.mean(1))
    expected = torch.nn.functional.cross_entropy(probes.classes[0](read), torch.tensor([0, 2]))
    torch.testing.assert_close(some, expected)
    none = probes(tokens, ProbeTargets(values=values, classes=torch.full((2, 2), -1)))["classes"]
    assert float(none) == 0.0
