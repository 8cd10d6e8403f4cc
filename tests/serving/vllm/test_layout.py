"""A video's part of a prompt, against the prompts that himmel's own model reads."""

import pytest
import torch

from himmel.model import HimmelProcessor
from himmel.model.placement import PLACEMENTS
from himmel.serving.vllm.layout import lay_out_visual, prompt_positions
from tiny_hosts import Setup

ASK = [("What moves?", None)]


@pytest.mark.parametrize("scheme", ["grid", "sequential"])
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("times", ["none", "text"])
@pytest.mark.parametrize("motion", [True, False])
def test_tokens_and_positions_are_those_of_himmel(
    setup: Setup, placement: str, scheme: str, times: str, motion: bool
) -> None:
    config = setup.config.changed(placement=placement, position_scheme=scheme, times=times, tokens_per_interval=3)
    processor = HimmelProcessor(config, setup.model.host)
    for sample in setup.samples:
        inputs = processor.encode([sample], [ASK], motion=motion)
        part = lay_out_visual(processor, sample, motion=motion)
        head = len(processor.host.chat.head)
        ids = inputs.input_ids[0]
        assert torch.equal(ids[head : head + len(part.ids)], part.ids)
        positions, ahead = prompt_positions(len(ids), [(head, part.positions)])
        assert torch.equal(positions, inputs.position_ids[1:, 0])
        assert ahead == int(positions.max()) + 1 - len(ids)
        counts = processor.count_ids(part.ids)
        assert (int(part.is_motion.sum()), len(part.is_motion)) == (
            counts["motion"],
            counts["motion"] + counts["image"],
        )
        assert torch.equal(part.index, inputs.motion.index if inputs.motion else torch.empty(0, dtype=torch.long))


def test_text_after_a_second_video_counts_on(setup: Setup) -> None:
    processor = HimmelProcessor(setup.config, setup.model.host)
    first, second = (lay_out_visual(processor, sample) for sample in setup.samples)
    begin = 5 + len(first.ids) + 2
    length = begin + len(second.ids) + 4
    positions, ahead = prompt_positions(length, [(5, first.positions), (begin, second.positions)])
    after_first = 5 + int(first.positions.max()) + 1
    assert positions[:, 5 + len(first.ids)].tolist() == [after_first] * 3
    assert torch.equal(positions[:, begin : begin + len(second.ids)], second.positions + after_first + 2)
    last = after_first + 2 + int(second.positions.max()) + 4
    assert positions[:, -1].tolist() == [last] * 3
    assert ahead == last + 1 - length


def test_without_a_video_positions_are_numbers() -> None:
    positions, ahead = prompt_positions(3, [])
    assert positions.tolist() == [[0, 1, 2]] * 3
    assert ahead == 0
