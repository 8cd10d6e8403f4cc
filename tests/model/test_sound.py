"""Sound from a file to the prompt's motion tokens, and that its onset can be learned where nothing else tells."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from himmel.adapter import AdapterConfig, MotionAdapter, StreamInputs
from himmel.errors import HostError
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor, PreparedSample
from himmel.model.sample import join_sound
from himmel.model.streams import sound_channels
from himmel.training.batches import AlignmentCollator
from himmel.video import Interval, Video
from sound_clips import begins_at, write_sound
from tiny_hosts import host_config, make_decomposition

STREAMS = ("context", "motion", "residual", "sound")
TURNS = [("What is heard?", "a bell")]


def _config(folder: str, **changes: object) -> HimmelConfig:
    plain = host_config("nano", folder)
    adapter = AdapterConfig.from_dict({**plain.adapter.to_dict(), "streams": STREAMS, **changes})
    return host_config("nano", folder, adapter_config=adapter)


@dataclass(frozen=True)
class Setup:
    model: HimmelForConditionalGeneration
    processor: HimmelProcessor
    sample: PreparedSample


@pytest.fixture
def setup(tiny_host: Callable[[str], str], tmp_path: Path) -> Setup:
    """A tiny model that reads sound, and a clip that has some."""
    torch.manual_seed(0)
    config = _config(tiny_host("nano"))
    assert config.sound
    model = HimmelForConditionalGeneration.from_config(config)
    processor = HimmelProcessor(config, model.host)
    video = Video(write_sound(tmp_path / "a.mp4", begins_at(0.5, 2)))
    return Setup(model, processor, processor.prepare(processor.read(video)))


def test_a_clip_with_sound_gives_other_tokens_than_one_without(setup: Setup) -> None:
    sample = setup.sample
    assert sample.sound is not None
    assert (sample.sound.shape, sample.sound.dtype) == ((sample.num_intervals, 4, 32), torch.float16)
    back = PreparedSample.from_tensors(sample.tensors())
    assert back.sound is not None
    assert torch.equal(back.sound, sample.sound)
    silent = replace(sample, sound=torch.zeros_like(sample.sound))
    with torch.no_grad():
        heard, not_heard = (
            setup.model(setup.processor.encode([one], [TURNS])).motion.tokens for one in (sample, silent)
        )
    assert not torch.equal(heard, not_heard)
    seen = setup.model.keep_features(sample)
    assert AlignmentCollator.streams_of([seen]).sound is not None
    # The control of shuffled tokens takes the other clip's sound too.
    assert silent.with_streams_of(seen).sound is seen.sound


def test_what_was_read_without_sound_is_refused(setup: Setup) -> None:
    with pytest.raises(HostError, match="sound=True"):
        setup.processor.prepare(make_decomposition())


def test_samples_with_and_without_sound_are_no_batch(setup: Setup) -> None:
    with pytest.raises(HostError, match="without sound"):
        join_sound([setup.sample, replace(setup.sample, sound=None)])
    pictures = PreparedSample.of_pictures({})
    joined = join_sound([pictures, setup.sample])
    assert joined is not None
    assert len(joined) == setup.sample.num_intervals
    assert join_sound([pictures]) is None


def test_channels_are_small_numbers() -> None:
    sound = np.zeros((4, 32), np.float32)
    sound[:, 0] = (16_000, -60, 1, 1)
    sound[:, 1] = (16_000, 0, 1, 0)
    empty = make_decomposition().intervals[0]
    found = sound_channels(replace(empty, sound=sound))
    assert found[:, 0].tolist() == pytest.approx([np.log(17), 0, 1, 1])
    assert found[:, 1].tolist() == pytest.approx([np.log(17), 0, 1, 0])
    assert not found[:, 2:].any()


def _clips(folder: Path, seeds: range) -> tuple[list[Interval], torch.Tensor]:
    """One interval of each clip. All clips look the same; sound begins early (0) or late (1), not twice alike."""
    intervals, late = [], []
    for seed in seeds:
        begin = (0.1, 0.8)[seed % 2] + 0.5 * np.random.default_rng(seed).random()
        path = write_sound(folder / f"{seed}.mp4", begins_at(begin, 1.4, seed=seed), bit_rate=48_000)
        found = Video(path).decompose(num_anchors=1, steps_per_interval=2, sound=True)
        intervals.append(found.intervals[0])
        late.append(seed % 2)
    return intervals, torch.tensor(late)


def _learn(streams: tuple[str, ...], train: list[Interval], late: torch.Tensor, unseen: list[Interval]) -> torch.Tensor:
    """Guesses about unseen clips after 30 steps."""
    torch.manual_seed(0)
    adapter, head = MotionAdapter(AdapterConfig.nano(streams=streams)), torch.nn.Linear(576, 2)

    def inputs(intervals: list[Interval]) -> StreamInputs:
        count = len(intervals)
        sound = np.stack([sound_channels(interval) for interval in intervals])
        return StreamInputs(
            motion=torch.zeros(count, 2, 2, 20, 20),
            residual=torch.zeros(count, 2, 4, 20, 20),
            context=torch.zeros(count, 1472, 7, 7),
            step_mask=torch.ones(count, 2, dtype=torch.bool),
            sound=torch.from_numpy(sound.astype(np.float32)),
        )

    parameters = [*adapter.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(head(adapter(inputs(train)).tokens.mean(dim=1)), late)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return head(adapter.eval()(inputs(unseen)).tokens.mean(dim=1)).argmax(dim=1)


@pytest.mark.slow
def test_when_sound_begins_is_learned_where_clips_look_the_same(tmp_path: Path) -> None:
    train, late = _clips(tmp_path, range(24))
    unseen, truth = _clips(tmp_path, range(100, 124))
    # Pictures tell nothing: every clip has the same ones.
    assert len({interval.maps.residual.tobytes() for interval in (*train, *unseen)}) == 1
    assert (_learn(STREAMS, train, late, unseen) == truth).float().mean() > 0.95
    assert (_learn(STREAMS[:3], train, late, unseen) == truth).float().mean() == 0.5
