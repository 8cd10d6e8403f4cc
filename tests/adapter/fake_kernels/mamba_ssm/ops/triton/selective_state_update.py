from mamba_ssm import CALLS


def selective_state_update(state, x, dt, A, B, C, D=None, z=None, dt_bias=None, dt_softplus=False):
    CALLS.append("selective_state_update")
    raise AssertionError("the adapter never goes step by step")
