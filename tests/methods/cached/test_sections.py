"""Which section a layer is in, and how it scores."""

import pytest
import torch

from himmel.methods.cached.sections import PLAIN, THREE_PART, LayerRule, choose, layer_rules, score


def test_28_layers_with_plain_positions() -> None:
    """As LLaVA-OneVision's 7B: int(2.8) = 2 shallow ones, deep from int(19.6) = 19 on."""
    rules = layer_rules(28, PLAIN)
    assert [rule.prompt for rule in rules] == [None] * 2 + ["mixed"] * 17 + ["global"] * 9
    assert [rule.smoothing for rule in rules] == [0.1] * 2 + [0.3] * 17 + [0.4] * 9
    assert [rule.summary for rule in rules] == [False] * 19 + [True] * 9
    assert (rules[0].newness, rules[0].decay, rules[27].newness) == (1.0, 20.0, 0.0)
    for layer in range(2, 19):
        depth = (layer - 2) / 17
        assert rules[layer].newness == pytest.approx(1 - 0.9 * depth)
        assert rules[layer].decay == pytest.approx(20 - 19.5 * depth)


def test_28_layers_with_positions_of_three_parts() -> None:
    """As Qwen2.5-VL's 7B: int(8.4) = 8 shallow ones."""
    rules = layer_rules(28, THREE_PART)
    assert [rule.prompt for rule in rules] == [None] * 8 + ["mixed"] * 11 + ["global"] * 9
    for layer in range(8, 19):
        depth = (layer - 8) / 11
        assert rules[layer].newness == pytest.approx(0.75 - 0.6 * depth)
        assert rules[layer].decay == pytest.approx(20 - 12 * depth)


def test_attention_and_newness_are_stretched_to_one_and_weighed() -> None:
    rule = LayerRule(prompt="mixed", newness=0.25, decay=1.0, smoothing=0.3, summary=False)
    found = score([rule], [torch.tensor([3.0, 1.0, 2.0])])[0]
    decayed = torch.tensor([-1.0, -0.5, 0.0]).exp()
    newness = (decayed - decayed[0]) / (1 - decayed[0])
    torch.testing.assert_close(found, 0.75 * torch.tensor([1, 0, 0.5]) + 0.25 * newness, rtol=1e-4, atol=1e-5)


def test_each_layer_takes_a_share_of_the_next_deeper_one() -> None:
    plain = LayerRule(prompt="global", newness=0.0, decay=20.0, smoothing=0.4, summary=True)
    attention = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])]
    first, second, last = score([plain] * 3, attention)
    torch.testing.assert_close(last, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(second, torch.tensor([0.4, 0.6]))
    torch.testing.assert_close(first, torch.tensor([0.6 + 0.4 * 0.4, 0.4 * 0.6]))


def test_equal_attention_ranks_nothing() -> None:
    plain = LayerRule(prompt="global", newness=0.0, decay=20.0, smoothing=0.4, summary=True)
    assert torch.equal(score([plain], [torch.ones(4)])[0], torch.zeros(4))


def test_a_choice_is_in_order_and_the_older_wins() -> None:
    assert choose(torch.tensor([0.5, 0.9, 0.5, 0.5]), 3).tolist() == [0, 1, 2]
