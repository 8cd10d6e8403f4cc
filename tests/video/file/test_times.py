"""When pictures are shown, where a file says too little about it or its clock starts again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from himmel.video import StepMaps, Video

Encode = Callable[..., Path]

B_PICTURES = {"g": "12", "bf": "2"}


def append(target: Path, *sources: Path) -> Path:
    """Files one after the other, as `cat` does it."""
    target.write_bytes(b"".join(source.read_bytes() for source in sources))
    return target


@pytest.mark.parametrize(
    ("suffix", "codec", "shifts"),
    [
        ("ts", "libx264", (0, 0)),
        # FFmpeg takes the second one's earlier times for a clock that has wrapped.
        ("ts", "libx264", (25 * 5000, 0)),
        ("ts", "libx264", (25 * 60_000, 25 * 10)),
        # And half a day is no pause.
        ("ts", "libx264", (0, 25 * 60_000)),
        ("ts", "libx264", (25 * 2000, 25 * 1999)),
        ("mpg", "mpeg2video", (0, 0)),
        ("mkv", "libx264", (0, 0)),
    ],
)
def test_recordings_one_after_the_other(
    suffix: str, codec: str, shifts: tuple[int, int], tmp_path: Path, encode_clip: Encode, pan: Callable
) -> None:
    """Anchors, motion and times of each half are those of the recording alone."""
    parts = [
        encode_clip(
            f"{number}.{suffix}",
            pan(48, (160, 128), velocity, number),
            codec=codec,
            options=B_PICTURES,
            shift=shifts[number],
        )
        for number, velocity in enumerate([(2, 1), (-1, 2)])
    ]
    both = Video(append(tmp_path / f"both.{suffix}", *parts))
    assert both.num_frames == 96
    assert both.duration == pytest.approx(3.84, abs=0.01)
    np.testing.assert_allclose(np.diff(both.times), 0.04, atol=2e-3)
    assert [note for note in both.notes if "start again" in note] == [
        "The file's times start again once: it is read as 2 recordings, one after the other."
    ]
    read = both.decompose(num_anchors=8, steps_per_interval=12)
    alone = [Video(part).decompose(num_anchors=4, steps_per_interval=12) for part in parts]
    assert [a.frame for a in read.anchors] == [12 * k for k in range(8)]
    for place, (anchor, interval) in enumerate(zip(read.anchors, read.intervals, strict=True)):
        half, number = divmod(place, 4)
        assert np.array_equal(anchor.image, alone[half].anchors[number].image)
        for field in StepMaps.__dataclass_fields__:
            one, other = interval.maps.__dict__[field], alone[half].intervals[number].maps.__dict__[field]
            assert np.array_equal(one, other), field


def test_three_recordings_of_which_the_last_lacks_its_keyframe(tmp_path: Path, encode_clip: Encode) -> None:
    whole = encode_clip("a.ts", options={"g": "12", "bf": "0"}, num_frames=48)
    data = whole.read_bytes()
    cut = Video(whole)._file.index.pos[5]
    path = tmp_path / "three.ts"
    path.write_bytes(data + data + data[:564] + data[cut:])
    video = Video(path)
    assert video.num_frames == 48 + 48 + 36
    assert any(note.startswith("7 pictures before the first keyframe of each recording") for note in video.notes)
    assert any("read as 3 recordings" in note for note in video.notes)
    np.testing.assert_allclose(np.diff(video.times), 0.04, atol=2e-3)


@pytest.mark.parametrize("seconds", [1, 70, 1000])
def test_a_clock_that_wraps_is_no_new_recording(seconds: int, encode_clip: Encode) -> None:
    """33 bits at 90 kHz: after 26 and a half hours it starts again, here `seconds` after the recording's beginning."""
    times = [k * (seconds + 1) / 24 for k in range(48)]
    rate = 1000
    begin = int((2**33 / 90_000 - seconds) * rate)
    path = encode_clip(
        "a.ts", options=B_PICTURES, num_frames=48, rate=rate, pts=[int(time * rate) for time in times], shift=begin
    )
    video = Video(path)
    assert video.num_frames == 48
    assert not any("start again" in note for note in video.notes)
    np.testing.assert_allclose(video.times, times, atol=2e-3)
