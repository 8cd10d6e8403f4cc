import numpy as np
import pytest
import torch

from himmel.adapter import CompressedStreamFusion


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def _operands() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    first, second = torch.randn(2, 5, 3, 32, generator=generator, dtype=torch.float64)
    return first, second


def test_gate_is_the_designs_formula(tiny):
    fusion = CompressedStreamFusion(tiny()).double()
    first, second = _operands()
    fused, share = fusion(first, second)

    a, b = _array(first), _array(second)
    w_g, b_g = _array(fusion.gate.weight), _array(fusion.gate.bias)
    u, v = _array(fusion.first.weight), _array(fusion.second.weight)
    expected = np.empty_like(a)
    expected_share = np.empty(a.shape[:2])
    for m, f in np.ndindex(a.shape[:2]):
        g = 1 / (1 + np.exp(-(w_g @ np.concatenate([a[m, f], b[m, f]]) + b_g)))
        expected[m, f] = g * (u @ a[m, f]) + (1 - g) * (v @ b[m, f])
        expected_share[m, f] = g.mean()
    np.testing.assert_allclose(_array(fused), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(_array(share), expected_share, rtol=1e-10)
    assert not share.requires_grad


def test_weighted_sum_has_one_weight_for_everything(tiny):
    fusion = CompressedStreamFusion(tiny(fusion="weighted_sum")).double()
    with torch.no_grad():
        fusion.weight_logit.fill_(0.7)
    first, second = _operands()
    fused, share = fusion(first, second)
    w = 1 / (1 + np.exp(-0.7))
    expected = (
        w * _array(first) @ _array(fusion.first.weight).T + (1 - w) * _array(second) @ _array(fusion.second.weight).T
    )
    np.testing.assert_allclose(_array(fused), expected, rtol=1e-10, atol=1e-12)
    assert share.shape == (5, 3)
    np.testing.assert_allclose(_array(share), w, rtol=1e-12)


def test_concat_is_linear_and_concat_mlp_is_not(tiny):
    first, second = _operands()
    plain = CompressedStreamFusion(tiny(fusion="concat")).double()
    deep = CompressedStreamFusion(tiny(fusion="concat_mlp")).double()
    for fusion, linear in ((plain, True), (deep, False)):
        zero, _ = fusion(first * 0, second * 0)
        once, share = fusion(first, second)
        twice, _ = fusion(2 * first, 2 * second)
        assert torch.allclose(twice - zero, 2 * (once - zero)) is linear
        assert share is None


@pytest.mark.parametrize("mode", ["gated", "weighted_sum", "concat_mlp", "concat"])
def test_every_mode_reads_both_operands(tiny, mode):
    fusion = CompressedStreamFusion(tiny(fusion=mode)).double()
    first, second = _operands()
    fused, _ = fusion(first, second)
    assert fused.shape == first.shape
    assert not torch.allclose(fused, fusion(first.flip(0), second)[0])
    assert not torch.allclose(fused, fusion(first, second.flip(0))[0])
