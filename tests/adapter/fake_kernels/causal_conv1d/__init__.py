"""A stand-in for the package causal_conv1d without a GPU: the same names and arguments, bodies in plain torch."""

import torch.nn.functional as F
from mamba_ssm import CALLS


def convolve(x, weight, bias, activation):
    out = F.conv1d(F.pad(x, (weight.shape[-1] - 1, 0)), weight[:, None], bias, groups=len(weight))
    return F.silu(out) if activation == "silu" else out


def causal_conv1d_fn(
    x,
    weight,
    bias=None,
    seq_idx=None,
    initial_states=None,
    return_final_states=False,
    final_states_out=None,
    activation=None,
):
    CALLS.append("causal_conv1d_fn")
    return convolve(x, weight, bias, activation)


def causal_conv1d_update(x, conv_state, weight, bias=None, activation=None, cache_seqlens=None):
    CALLS.append("causal_conv1d_update")
    raise AssertionError("the adapter never goes step by step")
