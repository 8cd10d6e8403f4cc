"""Where prepared clips are kept: settings that change a clip's tensors change its folder."""

from pathlib import Path

import numpy as np
import pytest

from himmel.nano.clips import ground_truth
from himmel.nano.draw import draw_spec
from himmel.nano.render import clip_file
from himmel.training import store
from himmel.training.store import ClipStore
from himmel.video import Video
from tiny_hosts import Setup, nano_config


def test_maps_of_another_backend_are_never_taken_for_these(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    for version in (None, "0.1.0"):
        monkeypatch.setattr(store, "engine_version", lambda version=version: version)
        folders.append(ClipStore(setup.config, split="train", root=tmp_path).folder)
    assert folders[0] != folders[1]


@pytest.mark.parametrize("change", [{"num_anchors": 3}, {"steps_per_interval": 2}, {"anchor_mode": "exact"}])
def test_other_settings_have_a_folder_of_their_own(
    nano_folder: str, setup: Setup, tmp_path: Path, change: dict[str, object]
) -> None:
    changed = nano_config(nano_folder, **{"num_anchors": 2, "steps_per_interval": 3, **change})
    assert (
        ClipStore(changed, split="train", root=tmp_path).folder
        != ClipStore(setup.config, split="train", root=tmp_path).folder
    )


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.parametrize("num_anchors", [4, 8, 11])
def test_what_happens_is_told_of_the_intervals_that_were_asked_for(
    nano_folder: str, tmp_path: Path, num_anchors: int
) -> None:
    config = nano_config(nano_folder, num_anchors=num_anchors, steps_per_interval=3)
    clips = ClipStore(config, split="train", root=tmp_path)
    clips.prepare([7, 8], workers=1)
    for seed in (7, 8):
        clip, spec = clips.load(seed), draw_spec(seed)
        with clip_file(spec) as file:
            frames = [anchor.frame for anchor in Video(file).decompose(num_anchors=num_anchors).anchors]
        assert clip.sample.num_intervals == num_anchors
        truth = ground_truth(spec, frames)
        assert np.array_equal(clip.truth_values, truth.values)
        assert np.array_equal(clip.truth_classes, truth.classes)
        assert (num_anchors != 8) or frames == list(spec.anchors)
