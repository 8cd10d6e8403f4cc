import torch
import torch.nn.functional as F
from causal_conv1d import convolve

from mamba_ssm import CALLS

NO_LIMIT = (0.0, float("inf"))


def scan(x, dt, A, B, C, D, dt_bias):
    """s_t = exp(A dt_t) s_{t-1} + dt_t x_t B_t^T; y_t = s_t C_t + D x_t, for one group of heads."""
    dt = F.softplus(dt + dt_bias)
    state = x.new_zeros(x.shape[0], *x.shape[2:], B.shape[-1])
    read = []
    for t in range(x.shape[1]):
        decay = torch.exp(A * dt[:, t])[:, :, None, None]
        state = decay * state + torch.einsum("mh,mhp,mn->mhpn", dt[:, t], x[:, t], B[:, t, 0])
        read.append(torch.einsum("mhpn,mn->mhp", state, C[:, t, 0]) + D[:, None] * x[:, t])
    return torch.stack(read, dim=1)


def mamba_chunk_scan_combined(
    x,
    dt,
    A,
    B,
    C,
    chunk_size,
    D=None,
    z=None,
    dt_bias=None,
    initial_states=None,
    seq_idx=None,
    cu_seqlens=None,
    dt_softplus=False,
    dt_limit=NO_LIMIT,
    return_final_states=False,
    return_varlen_states=False,
):
    CALLS.append("mamba_chunk_scan_combined")
    assert dt_softplus
    assert z is initial_states is None
    assert not return_final_states
    return scan(x, dt, A, B, C, D, dt_bias)


def mamba_split_conv1d_scan_combined(
    zxbcdt,
    conv1d_weight,
    conv1d_bias,
    dt_bias,
    A,
    D,
    chunk_size,
    initial_states=None,
    seq_idx=None,
    dt_limit=NO_LIMIT,
    return_final_states=False,
    activation="silu",
    rmsnorm_weight=None,
    rmsnorm_eps=1e-6,
    outproj_weight=None,
    outproj_bias=None,
    headdim=None,
    ngroups=1,
    norm_before_gate=True,
):
    CALLS.append("mamba_split_conv1d_scan_combined")
    assert not norm_before_gate
    assert not return_final_states
    heads = len(D)
    inner = heads * headdim
    z, mixed, dt = zxbcdt.split([inner, zxbcdt.shape[-1] - inner - heads, heads], dim=-1)
    mixed = convolve(mixed.transpose(1, 2), conv1d_weight, conv1d_bias, activation).transpose(1, 2)
    state = (mixed.shape[-1] - inner) // 2
    x, B, C = mixed.split([inner, state, state], dim=-1)
    read = scan(x.unflatten(-1, (heads, headdim)), dt, A, B[:, :, None], C[:, :, None], D, dt_bias).flatten(2)
    read = F.rms_norm(read * F.silu(z), (inner,), rmsnorm_weight, rmsnorm_eps)
    return F.linear(read, outproj_weight, outproj_bias)
