"""What all five families of motion encoders have in common, and what each has alone."""

from contextlib import nullcontext
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from transformers import SiglipVisionConfig, SiglipVisionModel

from himmel.adapter import AdapterConfig, MotionAdapter
from himmel.adapter.branches import ResNetMapBranch
from himmel.adapter.steps import SpreadSteps, stretch_shares
from himmel.errors import HostError, UsageError
from himmel.settings import ENCODERS

every_encoder = pytest.mark.parametrize("encoder", ENCODERS)


def _make(config: AdapterConfig) -> MotionAdapter:
    torch.manual_seed(0)
    return MotionAdapter(config).eval()


def _values(output) -> list[torch.Tensor]:
    values = [output.tokens, output.embedding, output.pooled, output.sequence, *output.branches.values()]
    return [*values, output.gates.shares]


@every_encoder
def test_same_inputs_same_outputs(tiny, streams, encoder):
    config = tiny(encoder=encoder)
    output = _make(config)(streams(config, [6, 2, 0]))
    assert output.tokens.shape == (3, 4, 24)
    assert output.embedding.shape == (3, 24)
    assert output.pooled.shape == (3, 32)
    assert output.sequence.shape == (3, 6, 32)
    assert {name: value.shape for name, value in output.branches.items()} == dict.fromkeys(
        ("context", "motion", "residual"), (3, 24)
    )
    assert output.gates.shares.shape == (3, 6, 3)
    assert all(value.isfinite().all() for value in _values(output))


@every_encoder
def test_steps_that_do_not_exist_change_nothing(tiny, streams, encoder):
    config = tiny(encoder=encoder)
    adapter, inputs = _make(config), streams(config, [6, 3, 0])
    motion = inputs.motion.clone()
    motion[~inputs.step_mask] = float("nan")
    for one, other in zip(_values(adapter(inputs)), _values(adapter(replace(inputs, motion=motion))), strict=True):
        assert torch.equal(one, other)


@every_encoder
@pytest.mark.parametrize("lengths", [[6, 3, 0], [0, 0]])
def test_gradients_are_finite_and_reach_every_parameter(tiny, streams, encoder, lengths):
    config = tiny(encoder=encoder)
    adapter = _make(config).train()
    output = adapter(streams(config, lengths))
    generator = torch.Generator().manual_seed(9)
    values = [output.tokens, output.embedding, *output.branches.values()]
    sum((value * torch.randn(value.shape, generator=generator)).sum() for value in values).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in adapter.parameters())
    untouched = [name for name, p in adapter.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A softmax does not see the constant that a bias adds to all keys; torch's own attention has one all the same.
    assert not any(lengths) or [name for name in untouched if "in_proj_bias" not in name] == []


@every_encoder
@pytest.mark.parametrize("dropped", ["context", "motion", "residual"])
def test_dropping_a_stream_puts_zeros_in_place_of_one_operand_and_changes_nothing_else(
    tiny, streams, encoder, dropped, monkeypatch
):
    full = _make(tiny(encoder=encoder))
    kept = tuple(name for name in ("context", "motion", "residual") if name != dropped)
    reduced = _make(tiny(encoder=encoder, streams=kept))
    missing, unexpected = reduced.load_state_dict(full.state_dict(), strict=False)
    assert not missing
    assert all(f".{dropped}." in f".{name}" for name in unexpected)
    rest = {name: value.shape for name, value in full.state_dict().items() if f".{dropped}." not in f".{name}"}
    assert {name: value.shape for name, value in reduced.state_dict().items()} == rest

    inputs = streams(tiny(encoder=encoder), [6, 3, 0])
    monkeypatch.setattr(full.branches[dropped], "forward", lambda maps: torch.zeros(len(maps), 32))
    with_zeros, without = full(inputs), reduced(inputs)
    assert torch.equal(with_zeros.tokens, without.tokens)
    assert torch.equal(with_zeros.sequence, without.sequence)


@pytest.mark.parametrize("motion", ["motion", "rgb_diff"])
def test_any_subset_of_streams_is_an_adapter(tiny, streams, motion):
    everything = ("context", motion, "residual")
    for size in (1, 2, 3):
        for names in combinations(everything, size):
            config = tiny(streams=names)
            output = _make(config)(streams(config, [6, 2, 0]))
            assert set(output.branches) == set(names)
            assert all(value.isfinite().all() for value in _values(output))
            output.tokens.square().mul(torch.arange(24)).sum().backward()


@every_encoder
def test_rgb_difference_takes_the_place_of_motion(tiny, streams, encoder):
    names = ("context", "rgb_diff", "residual")
    config = tiny(encoder=encoder, streams=names)
    adapter, inputs = _make(config), streams(config, [6, 3])
    if encoder != "shared_vit":
        assert inputs.motion.shape[2] == 3
    output = adapter(inputs)
    assert set(output.branches) == set(names)
    assert output.gates.streams == ("rgb_diff", "residual", "context")
    # Beyond the branch and its projection, the adapter is the one with a motion stream.
    motion = _make(tiny(encoder=encoder)).state_dict()
    own = {name: value.shape for name, value in adapter.state_dict().items() if ".rgb_diff." not in name}
    assert own == {name: value.shape for name, value in motion.items() if ".motion." not in name}
    changed = adapter(replace(inputs, motion=inputs.motion.flip(0))).tokens
    assert (output.tokens - changed).abs().mean() > 1e-3 * output.tokens.std()


@every_encoder
def test_largest_budgets(tiny, streams, encoder):
    config = tiny(encoder=encoder, tokens_per_interval=256)
    lengths = [128, 0, 1, *range(3, 64)]
    with torch.no_grad():
        output = _make(config)(streams(config, lengths, steps=128))
    assert output.tokens.shape == (64, 256, 24)
    assert output.sequence.shape == (64, 128, 32)
    assert all(value.isfinite().all() for value in _values(output))


@every_encoder
def test_smallest_budgets(tiny, streams, encoder):
    config = tiny(encoder=encoder, tokens_per_interval=1)
    assert _make(config)(streams(config, [1], steps=1)).tokens.shape == (1, 1, 24)


@every_encoder
def test_half_precision_runs(tiny, streams, encoder):
    config = tiny(encoder=encoder)
    adapter, inputs = _make(config), streams(config, [6, 3, 0])
    tokens = adapter(inputs).tokens
    halved = adapter.to(torch.bfloat16)(inputs).tokens
    assert halved.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(tokens.flatten(), halved.flatten().float(), dim=0) > 0.99


@pytest.mark.slow
@every_encoder
@pytest.mark.parametrize("training", [False, True])
def test_compiles(tiny, streams, encoder, training):
    config = tiny(encoder=encoder)
    adapter, inputs = _make(config).train(training), streams(config, [6, 3, 0])
    torch.compiler.reset()
    # Batch statistics must not see padding: there alone the graph breaks around the choice of steps.
    one_graph = not (training and encoder == "resnet18")
    compiled = torch.compile(adapter, fullgraph=one_graph, backend="aot_eager")
    gradients = []
    outputs = []
    for run in (adapter, compiled):
        adapter.zero_grad()
        output = run(inputs)
        (output.tokens.square() * torch.arange(24)).sum().backward()
        outputs.append(_values(output))
        # A compiled graph gives zeros to what the loss does not reach.
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in adapter.parameters()]
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[0].norm()


@pytest.mark.slow
def test_compiles_to_machine_code(tiny, streams):
    config = tiny(ssm_layers=1)
    adapter, inputs = _make(config), streams(config, [6, 3, 0])
    torch.compiler.reset()
    with torch.no_grad():
        torch.testing.assert_close(
            torch.compile(adapter, fullgraph=True)(inputs).tokens, adapter(inputs).tokens, rtol=1e-3, atol=1e-4
        )


@every_encoder
def test_save_and_load_give_the_same_tokens(tiny, streams, encoder, tmp_path):
    config = tiny(encoder=encoder)
    adapter, inputs = _make(config), streams(config, [6, 3, 0])
    adapter.save_pretrained(tmp_path)
    loaded = MotionAdapter.from_pretrained(tmp_path).eval()
    assert torch.equal(adapter(inputs).tokens, loaded(inputs).tokens)


@every_encoder
def test_order_of_steps_matters(tiny, streams, encoder):
    config = tiny(encoder=encoder)
    adapter, inputs = _make(config), streams(config, [6])
    tokens = adapter(inputs).tokens
    turned = replace(inputs, motion=inputs.motion.flip(1), residual=inputs.residual.flip(1))
    assert (tokens - adapter(turned).tokens).abs().mean() > 1e-3 * tokens.std()


def test_a_branch_backbone_of_its_own_for_each_stream(tiny):
    adapter = _make(tiny(encoder="siglip"))
    motion, residual = (adapter.branches[name].backbone for name in ("motion", "residual"))
    assert not {p.data_ptr() for p in motion.parameters()} & {p.data_ptr() for p in residual.parameters()}
    assert _make(tiny(encoder="shared_vit")).num_parameters() < _make(tiny(encoder="none")).num_parameters() * 2


def test_siglip_starts_from_trained_weights(tiny, tmp_path):
    torch.manual_seed(1)
    trained = SiglipVisionModel(SiglipVisionConfig(**tiny().siglip))
    trained.save_pretrained(tmp_path)
    adapter = _make(tiny(encoder="siglip", siglip_weights=str(tmp_path)))
    adapter.load_backbones()
    for name in ("motion", "residual"):
        own = adapter.branches[name].backbone.state_dict()
        assert all(torch.equal(value, own[key]) for key, value in trained.state_dict().items())


@pytest.mark.parametrize("where", ["nowhere", "smaller"])
def test_siglip_weights_that_do_not_fit_are_named(tiny, tmp_path, where):
    folder = tmp_path / where
    if where == "smaller":
        SiglipVisionModel(SiglipVisionConfig(**{**tiny().siglip, "hidden_size": 8})).save_pretrained(folder)
    adapter = _make(tiny(encoder="siglip", siglip_weights=str(folder)))
    with pytest.raises(HostError, match=f"siglip_weights='{folder}'") as caught:
        adapter.load_backbones()
    assert "\n" not in str(caught.value)


def test_siglip_is_the_base_model_unless_told_otherwise():
    with torch.device("meta"):
        backbone = MotionAdapter(AdapterConfig.paper(encoder="siglip")).branches["motion"].backbone
    config = backbone.config
    assert (config.hidden_size, config.num_hidden_layers, config.patch_size, config.image_size) == (768, 12, 16, 224)


@pytest.mark.parametrize("stretches", [1, 3, 4, 9])
@pytest.mark.parametrize("length", [1, 3, 6])
def test_stretches_average_over_time(length, stretches):
    fine = 60 * stretches
    steps = torch.arange(fine * length) // fine  # each step, cut into `fine` equal moments
    shares = stretch_shares(torch.tensor([length]), steps=6, stretches=stretches)[0]
    for place, moments in enumerate(steps.chunk(stretches)):
        expected = torch.bincount(moments, minlength=6) / len(moments)
        torch.testing.assert_close(shares[place], expected, rtol=0, atol=1e-5)


def test_without_an_encoder_nothing_is_learned_over_time(tiny):
    spread = SpreadSteps(tiny(tokens_per_interval=3))
    assert not list(spread.parameters())
    fused = torch.randn(1, 3, 32)
    sequence, tokens = spread(fused, torch.ones(1, 3, dtype=torch.bool))
    assert torch.equal(sequence, fused)
    torch.testing.assert_close(tokens, torch.nn.functional.layer_norm(fused, (32,)), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_resnet_gradients_in_mixed_precision_are_those_of_full_precision(tiny, streams):
    """Maps of 16 cells or fewer come to 1 x 1, where oneDNN's bfloat16 gradient reads memory that nobody wrote."""
    config = tiny(encoder="resnet18", branch="resnet18", context_channels=3, context_size=32)
    found = {}
    for mixed in (False, True):
        adapter = _make(config).train()
        # Freed at once: what is not written by whoever takes this memory next is large.
        torch.full((40_000_000,), 1e34)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            adapter(streams(config, [6, 3])).embedding.float().square().sum().backward()
        found[mixed] = {
            name: value.grad.flatten() for name, value in adapter.named_parameters() if "stages.3.layers.0" in name
        }
    for name, exact in found[False].items():
        assert torch.cosine_similarity(exact, found[True][name], dim=0) > 0.9, name


@pytest.mark.parametrize(("side", "refused"), [(16, True), (17, False)])
def test_a_resnet_of_bfloat16_weights_learns_from_no_map_that_comes_to_one_cell(tiny, side, refused):
    branch = ResNetMapBranch(tiny(encoder="resnet18", branch="resnet18"), channels=2).bfloat16()
    maps = torch.zeros(1, 2, side, side, dtype=torch.bfloat16)
    with torch.no_grad():
        branch(maps)
    with pytest.raises(UsageError, match="maps of 16 x 16 cells gets wrong gradients") if refused else nullcontext():
        branch(maps)
