"""The selective scan behind the encoder: held against its recurrence, and handed to fused kernels where they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers.models.mamba2 import modeling_mamba2

from himmel.adapter.ssm import BidirectionalLayer

KERNELS = Path(__file__).parent / "fake_kernels"


def _recur(x, dt, a, b, c, d, dt_bias) -> torch.Tensor:
    """Step by step: s_t = exp(a dt_t) s_{t-1} + dt_t x_t b_t^T; y_t = s_t c_t + d x_t.

    x [M, F, heads, p], dt [M, F, heads], a, d, dt_bias [heads], b and c [M, F, n].
    """
    read = torch.zeros_like(x)
    for row in range(x.shape[0]):
        for head in range(x.shape[2]):
            state = torch.zeros(x.shape[3], b.shape[2], dtype=x.dtype)
            for t in range(x.shape[1]):
                rate = torch.log1p(torch.exp(dt[row, t, head] + dt_bias[head]))
                write = rate * torch.outer(x[row, t, head], b[row, t])
                state = torch.exp(a[head] * rate) * state + write
                read[row, t, head] = state @ c[row, t] + d[head] * x[row, t, head]
    return read


@pytest.mark.parametrize("chunk", [1, 4, 16, 64])
@pytest.mark.parametrize("steps", [1, 5, 16, 33])
def test_chunked_scan_is_the_recurrence(chunk: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The library rounds to float32 inside; raised to float64, the algorithm shows itself.
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    generator = torch.Generator().manual_seed(steps)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    x, dt, b, c = noise(2, steps, 3, 4), noise(2, steps, 3), noise(2, steps, 5), noise(2, steps, 5)
    a, d, dt_bias = -noise(3).exp(), noise(3), noise(3)
    chunked = modeling_mamba2.mamba2_chunk_scan(
        x, dt, a, b[:, :, None], c[:, :, None], chunk_size=chunk, D=d, dt_bias=dt_bias, dt_softplus=True
    )
    assert chunked.dtype == torch.float64
    torch.testing.assert_close(chunked, _recur(x, dt, a, b, c, d, dt_bias), rtol=1e-11, atol=1e-11)


def _mix_by_hand(mixer, sequence: torch.Tensor) -> torch.Tensor:
    """A mixer on [M, F, d] in float64, from its weights and the formulas alone."""
    weights = {name: value.double() for name, value in mixer.state_dict().items()}
    heads, inner, n = mixer.num_heads, mixer.intermediate_size, mixer.ssm_state_size
    projected = sequence.double() @ weights["in_proj.weight"].T
    gate, mixed, dt = projected.split([inner, inner + 2 * n, heads], dim=-1)
    taps = weights["conv1d.weight"][:, 0]
    convolved = torch.zeros_like(mixed)
    for t in range(mixed.shape[1]):
        for back in range(min(t + 1, taps.shape[1])):
            convolved[:, t] += taps[:, -1 - back] * mixed[:, t - back]
    convolved = convolved + weights["conv1d.bias"]
    convolved = convolved / (1 + torch.exp(-convolved))
    x, b, c = convolved.split([inner, n, n], dim=-1)
    a = -torch.exp(weights["A_log"])
    read = _recur(x.unflatten(-1, (heads, -1)), dt, a, b, c, weights["D"], weights["dt_bias"]).flatten(2)
    read = read * gate / (1 + torch.exp(-gate))
    read = read / (read.square().mean(-1, keepdim=True) + mixer.layer_norm_epsilon).sqrt() * weights["norm.weight"]
    return read @ weights["out_proj.weight"].T


@pytest.mark.parametrize("training", [False, True])
def test_a_mixer_is_its_formulas(tiny, training: bool) -> None:
    torch.manual_seed(0)
    mixer = BidirectionalLayer(tiny()).forward_mixer.train(training)
    sequence = torch.randn(2, 11, 32)
    torch.testing.assert_close(mixer(sequence).double(), _mix_by_hand(mixer, sequence), rtol=1e-4, atol=1e-5)


_RUN = """
import json, sys
import torch
from himmel.adapter import AdapterConfig, MotionAdapter, StreamInputs
torch.set_num_threads(1)
config = AdapterConfig.from_dict(json.loads(sys.argv[1]))
tokens = []
for training in (False, True):
    torch.manual_seed(0)
    adapter = MotionAdapter(config).train(training)
    inputs = StreamInputs(
        motion=torch.randn(2, 6, *config.motion_shape), residual=torch.randn(2, 6, *config.residual_shape),
        context=torch.randn(2, *config.context_shape), step_mask=torch.arange(6) < torch.tensor([[6], [3]]))
    tokens.append(adapter(inputs).tokens.tolist())
calls = sys.modules["mamba_ssm"].CALLS if "mamba_ssm" in sys.modules else []
print(json.dumps({"tokens": tokens, "calls": sorted(set(calls))}))
"""


@pytest.mark.slow
def test_fused_kernels_are_taken_where_they_are_installed(tiny) -> None:
    # Packages of the kernels' names, functions and arguments, whose bodies are plain torch: this machine has no GPU.
    settings = json.dumps(tiny().to_diff_dict())
    results = []
    for extra in ("", str(KERNELS)):
        paths = [extra, *sys.path] if extra else sys.path
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TRANSFORMERS_VERBOSITY": "error"}
        done = subprocess.run(
            [sys.executable, "-c", _RUN, settings], capture_output=True, text=True, env=environment, check=True
        )
        results.append(json.loads(done.stdout.splitlines()[-1]))
    assert results[0]["calls"] == []
    assert results[1]["calls"] == [
        "causal_conv1d_fn",
        "mamba_chunk_scan_combined",
        "mamba_split_conv1d_scan_combined",
    ]
    torch.testing.assert_close(
        torch.tensor(results[1]["tokens"]), torch.tensor(results[0]["tokens"]), rtol=1e-4, atol=1e-4
    )
