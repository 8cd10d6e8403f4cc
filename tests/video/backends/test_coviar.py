"""Backend "coviar": MPEG-4 Part 2 in groups of 12, read as it is or after encoding again."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from himmel.errors import VideoError
from himmel.video import StepMaps, Video
from himmel.video.backends import coviar

Encode = Callable[..., Path]
MAPS = tuple(StepMaps.__dataclass_fields__)


def test_mpeg4_is_read_as_it_is(encode_clip: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is encoded, and the maps are libav's accumulated ones."""
    monkeypatch.setattr(coviar, "_encode", None)
    video = Video(encode_clip("m.avi", codec="mpeg4", options={"g": "12", "bf": "0"}))
    read, libav = (
        video.decompose(num_anchors=2, backend=name, accumulate=name == "libav") for name in ("coviar", "libav")
    )
    assert (read.backend, read.accumulated, read.residual_kind) == ("coviar", True, "approximate")
    assert "the file is MPEG-4 Part 2" in read.backend_reason
    for ours, theirs in zip(read.intervals, libav.intervals, strict=True):
        for name in MAPS:
            assert np.array_equal(ours.maps.__dict__[name], theirs.maps.__dict__[name]), name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h.mp4", {"codec": "libx264", "options": {"bf": "3", "g": "40"}}),
        ("v.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}, "size": (161, 97)}),
        ("b.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("r.mp4", {"codec": "libx264", "rotation": 90}),
    ],
)
def test_other_files_are_encoded_again(name: str, options: dict, encode_clip: Encode) -> None:
    """Steps avoid the copy's keyframes, every twelfth picture, from which displacement and distance count."""
    video = Video(encode_clip(name, num_frames=40, **options))
    read = video.decompose(num_anchors=2, anchor_mode="exact", steps_per_interval=8, backend="coviar", cell=16)
    assert (read.backend, read.accumulated) == ("coviar", True)
    assert "encoded again" in read.backend_reason
    assert [anchor.frame for anchor in read.anchors] == [0, 20]
    velocity = (1, 2) if options.get("rotation") else (2, 1)
    speeds = []
    for anchor, interval in zip(read.anchors, read.intervals, strict=True):
        base = np.maximum(interval.frames // 12 * 12, anchor.frame)
        assert np.array_equal(interval.maps.past_distance, interval.frames - base)
        assert (interval.maps.past_distance > 0).all()
        speeds.append(np.abs(interval.maps.past[:, :, 2:-2, 2:-2]) / interval.maps.past_distance[:, None, None, None])
    assert np.median(np.concatenate(speeds), axis=(0, 2, 3)) == pytest.approx(velocity, abs=0.1)
    assert read.num_vectors > 0


def test_the_copy_has_groups_of_twelve_without_b_pictures_and_goes_away(encode_clip: Encode) -> None:
    video = Video(encode_clip("c.mp4", num_frames=30))
    with coviar.recode(video._file) as copy:
        assert copy.keyframes.tolist() == [0, 12, 24]
        with av.open(str(copy.path)) as container:
            kinds = [av.video.frame.PictureType(frame.pict_type).name for frame in container.decode(video=0)]
        assert kinds == [("I" if k % 12 == 0 else "P") for k in range(30)]
        path = copy.path
    assert not path.exists()
    assert not path.parent.exists()


def test_lost_pictures_are_stood_in_for(encode_clip: Encode) -> None:
    """Picture k of the copy stays picture k of the file, even if some could not be decoded."""
    video = Video(encode_clip("l.ts", num_frames=60, options={"g": "12", "bf": "0"}))
    data = bytearray(video.path.read_bytes())
    place = int(video._file.index.pos[30])
    data[place + 40 : place + 188 * 3] = bytes(188 * 3 - 40)
    damaged = video.path.with_name("d.ts")
    damaged.write_bytes(data)
    broken = Video(damaged)
    with coviar.recode(broken._file) as copy:
        assert len(copy.index.order) == broken.num_frames


def test_auto_never_takes_it_and_no_steps_need_no_copy(encode_clip: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coviar, "_encode", None)
    assert Video(encode_clip("m.avi", codec="mpeg4")).decompose(num_anchors=1).backend == "libav"
    read = Video(encode_clip("1.mp4", num_frames=1)).decompose(backend="coviar")
    assert (read.backend, len(read.anchors), len(read.intervals[0].frames)) == ("coviar", 1, 0)


def test_a_full_disk_is_said_in_one_sentence(encode_clip: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(coviar, "_encode", full)
    with pytest.raises(VideoError, match="no space left on device"):
        Video(encode_clip("f.mp4")).decompose(backend="coviar")
