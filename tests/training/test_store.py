"""Where prepared clips are kept: settings that change a clip's tensors change its folder."""

from pathlib import Path

import pytest

from himmel.training import store
from himmel.training.store import ClipStore
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
