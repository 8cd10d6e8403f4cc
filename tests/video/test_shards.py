"""Every picture in a folder of archives."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from himmel.errors import HimmelError, UsageError
from himmel.video import VECTOR, StepMaps, Video, save_every

Encode = Callable[..., Path]


@pytest.fixture
def video(encode_clip: Encode) -> Video:
    return Video(encode_clip("a.mp4", num_frames=40, options={"g": "15", "bf": "2"}))


def read(folder: Path) -> dict[str, np.ndarray]:
    """All archives of a folder, one after the other."""
    parts = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as archive:
            parts.append(dict(archive))
            assert int(path.stem) == archive["frames"][0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_maps_come_back_as_they_were(video: Video, tmp_path: Path) -> None:
    saved = save_every(video, tmp_path / "out", shard_bytes=100_000)
    assert saved.num_pictures == 40
    assert len(saved.shards) > 3
    stored = read(tmp_path / "out")
    pictures = list(video.pictures())
    assert stored["frames"].tolist() == list(range(40))
    assert stored["types"].tolist() == [picture.type for picture in pictures]
    assert stored["bits"].tolist() == [picture.bits for picture in pictures]
    assert stored["num_vectors"].tolist() == [picture.num_vectors for picture in pictures]
    np.testing.assert_allclose(stored["quantiser"], [picture.quantiser for picture in pictures], rtol=1e-6)
    for name in StepMaps.__dataclass_fields__:
        assert stored[name].dtype == np.float32
        assert np.array_equal(stored[name], np.stack([getattr(picture, name) for picture in pictures])), name


def test_vectors_come_back_as_they_were(video: Video, tmp_path: Path) -> None:
    save_every(video, tmp_path / "out", what="vectors", shard_bytes=20_000)
    stored = read(tmp_path / "out")
    pictures = list(video.vectors())
    assert stored["vectors"].dtype == VECTOR
    assert np.array_equal(stored["vectors"], np.concatenate([picture.vectors for picture in pictures]))
    assert stored["num_vectors"].tolist() == [len(picture.vectors) for picture in pictures]


@pytest.mark.parametrize("what", ["maps", "vectors"])
def test_it_goes_on_where_it_stopped_with_the_same_bytes(what: str, video: Video, tmp_path: Path) -> None:
    whole = save_every(video, tmp_path / "whole", what=what, shard_bytes=30_000)
    stopped = save_every(video, tmp_path / "stopped", what=what, shard_bytes=30_000)
    for path in stopped.shards[2:]:
        path.unlink()
    again = save_every(video, tmp_path / "stopped", what=what, shard_bytes=30_000)
    assert 0 < again.num_pictures < 40
    assert save_every(video, tmp_path / "stopped", what=what, shard_bytes=30_000).num_pictures == 0
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "stopped").iterdir())
    assert len(whole.shards) > 3
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_a_folder_with_something_else_is_refused(video: Video, tmp_path: Path) -> None:
    save_every(video, tmp_path / "out")
    with pytest.raises(UsageError, match="other settings"):
        save_every(video, tmp_path / "out", cell=32)
    with pytest.raises(UsageError, match="holds other files"):
        save_every(video, tmp_path)
    with pytest.raises(UsageError, match="holds other files"):
        save_every(video, video.path)
    with pytest.raises(HimmelError, match="Cannot write"):
        save_every(video, tmp_path / "none" / "out")
    with pytest.raises(UsageError, match="cannot be combined with vectors"):
        save_every(video, tmp_path / "v", what="vectors", cell=8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out"]


def test_a_damaged_last_archive_is_named(video: Video, tmp_path: Path) -> None:
    last = save_every(video, tmp_path / "out", shard_bytes=100_000).shards[-1]
    whole = last.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no archive"):
        last.write_bytes(damaged)
        with pytest.raises(HimmelError, match=rf"{last.name}' is damaged.*remove it"):
            save_every(video, tmp_path / "out", shard_bytes=100_000)
    last.unlink()
    save_every(video, tmp_path / "out", shard_bytes=100_000)
    assert last.read_bytes() == whole


def test_a_folder_in_which_a_run_was_killed_at_once_is_taken(video: Video, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".about.x7.json").touch()
    assert save_every(video, tmp_path / "out").num_pictures == 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"what": "arrows"}, "what='arrows' does not exist; choose one of maps, vectors"),
        ({"shard_bytes": 0}, "shard_bytes=0 is out of range"),
        ({"shard_bytes": 2.5}, r"shard_bytes=2\.5 is out of range"),
    ],
)
def test_arguments_out_of_range(arguments: dict, said: str, video: Video, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        save_every(video, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()
