from dataclasses import replace

import pytest
import torch

from himmel.adapter import AdapterConfig, MotionAdapter, StreamInputs


@pytest.fixture
def adapter(tiny):
    torch.manual_seed(0)
    return MotionAdapter(tiny()).eval()


def _flat(output) -> dict[str, torch.Tensor]:
    named = {name: getattr(output, name) for name in ("tokens", "embedding", "pooled", "sequence")}
    named |= {f"branch {name}": value for name, value in output.branches.items()}
    return named | ({} if output.gates is None else {"shares": output.gates.shares})


def _assert_same(left, right, **tolerance) -> None:
    first, second = _flat(left), _flat(right)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)


def test_shapes_and_representation(adapter, tiny, streams):
    inputs = streams(tiny(), [6, 2, 4])
    output = adapter(inputs)
    assert output.tokens.shape == (3, 4, 24)
    assert output.embedding.shape == (3, 24)
    assert {name: tuple(value.shape) for name, value in output.branches.items()} == {
        "context": (3, 24),
        "motion": (3, 24),
        "residual": (3, 24),
    }
    assert output.pooled.shape == (3, 32)
    assert output.sequence.shape == (3, 6, 32)
    assert output.gates.streams == ("motion", "residual", "context")
    assert "tokens=float32[3, 4, 24]" in repr(output)
    assert repr(inputs).endswith("step_mask=bool[3, 6], sound=None)")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("branch", ["conv", "resnet18"])
def test_steps_that_do_not_exist_change_nothing(tiny, streams, training, branch):
    changes = {"branch": branch, "map_size": 32, "context_channels": 3, "context_size": 32, "ssm_layers": 1}
    config = tiny(**changes)
    torch.manual_seed(0)
    adapter = MotionAdapter(config).train(training)
    inputs = streams(config, [6, 3, 0])
    absent = ~inputs.step_mask
    motion, residual = inputs.motion.clone(), inputs.residual.clone()
    motion[absent], residual[absent] = float("nan"), 1e6
    _assert_same(adapter(inputs), adapter(replace(inputs, motion=motion, residual=residual)), rtol=0, atol=0)


def test_padding_with_more_steps_changes_nothing(adapter, tiny, streams):
    long = streams(tiny(), [3, 2], steps=9)
    short = StreamInputs(
        motion=long.motion[:, :3], residual=long.residual[:, :3], context=long.context, step_mask=long.step_mask[:, :3]
    )
    torch.testing.assert_close(adapter(long).tokens, adapter(short).tokens, rtol=1e-4, atol=1e-5)


def test_intervals_do_not_see_each_other(adapter, tiny, streams):
    inputs = streams(tiny(), [6, 1, 4, 0])
    order = [2, 0, 3, 1]
    turned = StreamInputs(
        motion=inputs.motion[order],
        residual=inputs.residual[order],
        context=inputs.context[order],
        step_mask=inputs.step_mask[order],
    )
    straight = {name: value[order] for name, value in _flat(adapter(inputs)).items()}
    for name, value in _flat(adapter(turned)).items():
        torch.testing.assert_close(value, straight[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("lengths", [[0, 3], [0, 0]])
def test_intervals_without_steps_are_finite_and_so_are_their_gradients(adapter, tiny, streams, lengths, training):
    output = adapter.train(training)(streams(tiny(), lengths))
    assert all(value.isfinite().all() for value in _flat(output).values())
    (output.tokens.square() * torch.randn_like(output.tokens)).sum().backward()
    assert all(p.grad.isfinite().all() for p in adapter.parameters() if p.grad is not None)


@pytest.mark.parametrize("fusion", ["gated", "weighted_sum", "concat_mlp", "concat"])
@pytest.mark.parametrize("dropped", ["context", "motion", "residual"])
def test_dropping_a_stream_puts_zeros_in_place_of_its_operand(tiny, streams, dropped, fusion, monkeypatch):
    torch.manual_seed(0)
    full = MotionAdapter(tiny(fusion=fusion)).eval()
    kept = tuple(name for name in ("context", "motion", "residual") if name != dropped)
    reduced = MotionAdapter(tiny(fusion=fusion, streams=kept)).eval()
    missing, unexpected = reduced.load_state_dict(full.state_dict(), strict=False)
    assert not missing
    assert all(f".{dropped}." in f".{name}" for name in unexpected)

    inputs = streams(tiny(), [6, 3, 0])
    monkeypatch.setattr(full.branches[dropped], "forward", lambda maps: torch.zeros(len(maps), 32))
    with_zeros, without = full(inputs), reduced(inputs)
    assert without.branches.keys() == set(kept)
    torch.testing.assert_close(with_zeros.tokens, without.tokens, rtol=0, atol=0)
    torch.testing.assert_close(with_zeros.sequence, without.sequence, rtol=0, atol=0)


def test_every_stream_matters(adapter, tiny, streams):
    inputs, other = streams(tiny(), [6, 6], seed=0), streams(tiny(), [6, 6], seed=1)
    tokens = adapter(inputs).tokens
    for name in ("motion", "residual", "context"):
        changed = adapter(replace(inputs, **{name: getattr(other, name)})).tokens
        assert (tokens - changed).abs().mean() > 0.05 * tokens.std()


def _random_read(output) -> torch.Tensor:
    generator = torch.Generator().manual_seed(9)
    values = [output.tokens, output.embedding, *output.branches.values()]
    return sum((value * torch.randn(value.shape, generator=generator)).sum() for value in values)


@pytest.mark.parametrize("fusion", ["gated", "weighted_sum", "concat_mlp", "concat"])
def test_gradient_reaches_every_parameter(tiny, streams, fusion):
    torch.manual_seed(0)
    adapter = MotionAdapter(tiny(fusion=fusion))
    _random_read(adapter(streams(tiny(), [6, 3, 0]))).backward()
    untouched = [name for name, p in adapter.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert untouched == []


@pytest.mark.parametrize("config", [AdapterConfig.nano(), AdapterConfig.paper()], ids=["nano", "paper"])
def test_full_sizes_give_gradients_everywhere(config, streams):
    torch.manual_seed(0)
    adapter = MotionAdapter(config)
    output = adapter(streams(config, [2, 1], steps=2))
    assert output.tokens.shape == (2, config.tokens_per_interval, config.host_hidden_size)
    _random_read(output).backward()
    untouched = [name for name, p in adapter.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert untouched == []


def test_tokens_have_the_embeddings_scale_and_it_can_be_learned(adapter, tiny, streams):
    inputs = streams(tiny(), [6, 3, 0])
    adapter.match_scale(0.031)
    deviations = adapter(inputs).tokens.std(dim=-1, unbiased=False)
    torch.testing.assert_close(deviations, torch.full_like(deviations, 0.031), rtol=1e-3, atol=0)
    assert adapter.projector.log_scale.requires_grad
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive and finite"):
            adapter.match_scale(wrong)


def test_projector_starts_from_the_alignment_head(adapter):
    adapter.match_scale(0.5)
    adapter.projector.init_from(adapter.alignment_head)
    states = torch.randn(5, 7, 32)
    aligned = adapter.alignment_head(states, "fused")
    centred = aligned - aligned.mean(dim=-1, keepdim=True)
    similarity = torch.nn.functional.cosine_similarity(adapter.projector(states), centred, dim=-1)
    torch.testing.assert_close(similarity, torch.ones_like(similarity), rtol=0, atol=1e-5)
    with torch.no_grad():
        adapter.alignment_head.output.weight.zero_()
    assert adapter.projector.output.weight.abs().sum() > 0


def test_same_seed_same_tokens_twice(tiny, streams):
    def run() -> torch.Tensor:
        torch.manual_seed(5)
        return MotionAdapter(tiny())(streams(tiny(), [6, 3])).tokens

    assert torch.equal(run(), run())


def test_save_and_load_give_the_same_tokens(adapter, tiny, streams, tmp_path):
    adapter.match_scale(0.2)
    adapter.save_pretrained(tmp_path)
    loaded = MotionAdapter.from_pretrained(tmp_path).eval()
    inputs = streams(tiny(), [6, 3, 0])
    _assert_same(adapter(inputs), loaded(inputs), rtol=0, atol=0)


def test_half_precision_runs(adapter, tiny, streams):
    inputs = streams(tiny(), [6, 3, 0])
    tokens = adapter(inputs).tokens
    halved = adapter.to(torch.bfloat16)(inputs).tokens
    assert halved.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(tokens.flatten(), halved.flatten().float(), dim=0) > 0.99


def test_autocast_runs(adapter, tiny, streams):
    inputs = streams(tiny(), [6, 3, 0])
    with torch.autocast("cpu", torch.bfloat16):
        assert adapter(inputs).tokens.isfinite().all()


def test_inputs_that_do_not_fit_are_named(adapter, tiny, streams):
    inputs = streams(tiny(), [6, 3])
    gap = inputs.step_mask.clone()
    gap[0, 2] = False
    with pytest.raises(ValueError, match="put the existing steps first"):
        adapter(replace(inputs, step_mask=gap))
    with pytest.raises(ValueError, match=r"got \(\(2, 10, 10\)"):
        adapter(replace(inputs, motion=inputs.motion[..., :10, :10]))
    with pytest.raises(ValueError, match="differ in intervals or steps"):
        replace(inputs, motion=inputs.motion[:, :2])
    with pytest.raises(ValueError, match="bool step_mask"):
        replace(inputs, step_mask=inputs.step_mask.float())
    with pytest.raises(ValueError, match="At least one"):
        streams(tiny(), [])
