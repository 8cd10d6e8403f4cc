"""Can an adapter of nano's size learn what it is for: which way things move, from its mean token, in a few steps?"""

import math

import pytest
import torch

from himmel.adapter import AdapterConfig, MotionAdapter, StreamInputs

_SIGLIP = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 40,
    "patch_size": 8,
}


def _clips(number: int, generator: torch.Generator) -> tuple[StreamInputs, torch.Tensor]:
    """A patch moves one of four ways in noisy maps of an interval of 4 steps, before an unrelated anchor."""
    way = torch.randint(4, (number,), generator=generator)
    angle = way * (math.pi / 2)
    speed = 1 + 2 * torch.rand(number, generator=generator)
    velocity = torch.stack((angle.cos(), angle.sin()), dim=1) * speed[:, None]
    motion = 0.3 * torch.randn(number, 4, 2, 20, 20, generator=generator)
    for clip, (row, column) in enumerate(torch.randint(0, 13, (number, 2), generator=generator).tolist()):
        motion[clip, :, :, row : row + 8, column : column + 8] += velocity[clip][:, None, None]
    inputs = StreamInputs(
        motion=motion,
        residual=0.3 * torch.randn(number, 4, 4, 20, 20, generator=generator),
        context=torch.randn(number, 1472, 7, 7, generator=generator).relu(),
        step_mask=torch.ones(number, 4, dtype=torch.bool),
    )
    return inputs, way


@pytest.mark.parametrize("encoder", ["ssm", "siglip", "none"])
def test_mean_token_tells_the_direction_of_unseen_maps_after_25_steps(encoder: str):
    torch.manual_seed(0)
    adapter, head = MotionAdapter(AdapterConfig.nano(encoder=encoder, siglip=_SIGLIP)), torch.nn.Linear(576, 4)
    parameters = [*adapter.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(25):
        inputs, way = _clips(32, generator)
        loss = torch.nn.functional.cross_entropy(head(adapter(inputs).tokens.mean(dim=1)), way)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
    inputs, way = _clips(128, torch.Generator().manual_seed(10_001))
    with torch.no_grad():
        right = (head(adapter.eval()(inputs).tokens.mean(dim=1)).argmax(dim=1) == way).float().mean()
    assert right > 0.95
