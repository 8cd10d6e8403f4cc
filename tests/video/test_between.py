"""A stretch of a video as a video of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

from himmel.errors import UsageError
from himmel.video import Video
from himmel.video.file.decoder import Decoder, Segment
from stamps import read_stamp, stamp

Encode = Callable[..., Path]
PYRAMID = {"g": "12", "bf": "3", "x264-params": "b-pyramid=strict:scenecut=0"}


@pytest.fixture
def stamped(encode_clip: Encode) -> Video:
    """60 pictures at 25 a second, each with its number."""
    return Video(encode_clip("a.mp4", [stamp(k) for k in range(60)], options=PYRAMID))


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (0.0, None, 0, 59),
        (0.5, 1.0, 12, 24),
        # On the screen at 0.55 s is the picture that began at 0.52.
        (0.55, 1.01, 13, 25),
        (1.0, 1.0001, 25, 25),
        (2.0, 99.0, 50, 59),
    ],
)
def test_shows_the_pictures_of_the_stretch(
    start: float, end: float | None, first: int, last: int, stamped: Video
) -> None:
    part = stamped.between(start, end)
    assert part.num_frames == last - first + 1
    assert part.duration == pytest.approx(part.num_frames / 25)
    assert part.times[0] == 0
    assert part.start == pytest.approx(stamped.start + first / 25)
    anchors = part.decompose(num_anchors=part.num_frames, anchor_mode="exact").anchors
    assert [read_stamp(anchor.image) for anchor in anchors] == list(range(first, last + 1))
    assert [read_stamp(one.image) for one in part.frames(num_frames=99).frames] == list(range(first, last + 1))
    assert any("Only the stretch from" in note for note in part.notes) == (end is not None or start > 0)


@pytest.mark.parametrize("backend", ["bitstream", "libav", "proxy"])
def test_maps_are_those_of_the_whole_video(backend: str, stamped: Video) -> None:
    """A stretch that begins and ends between keyframes."""
    how = {"anchor_mode": "exact", "steps_per_interval": 60, "backend": backend}
    whole = stamped.decompose(num_anchors=1, **how).intervals[0]
    part = stamped.between(0.6, 1.8).decompose(num_anchors=1, **how).intervals[0]
    assert part.frames.tolist() == list(range(1, 30))
    at = {frame: place for place, frame in enumerate(whole.frames.tolist())}
    for place, frame in enumerate(part.frames.tolist()):
        there = at[frame + 15]
        assert np.array_equal(part.maps.past[place], whole.maps.past[there])
        assert np.array_equal(part.maps.residual[place], whole.maps.residual[there])


def test_a_stretch_of_a_stretch_and_the_video_itself(stamped: Video) -> None:
    part = stamped.between(0.4, 2.0).between(0.4, 0.8)
    assert part.num_frames == 10
    assert part.start == pytest.approx(stamped.start + 0.8)
    assert stamped.num_frames == 60
    assert part.sha256 == stamped.sha256


@pytest.mark.parametrize(("start", "end"), [(-1.0, 1.0), (1.0, 1.0), (1.0, 0.5), (2.4, None), (float("nan"), 1.0)])
def test_what_is_no_stretch_is_refused(start: float, end: float | None, stamped: Video) -> None:
    with pytest.raises(UsageError, match=r"no stretch of this video; it lasts 2\.400 seconds"):
        stamped.between(start, end)


def test_all_images_of_a_stretch_come_without_those_before_it(
    encode_clip: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = Video(encode_clip("a.mp4", [stamp(k) for k in range(60)], options=PYRAMID))
    decoded: list[int] = []
    pictures = Decoder.pictures

    def counted(self: Decoder, segment: Segment) -> Iterator[tuple[int, VideoFrame]]:
        for number, frame in pictures(self, segment):
            decoded.append(number)
            yield number, frame

    monkeypatch.setattr(Decoder, "pictures", counted)
    assert [read_stamp(image) for image in video.between(1.6, 2.0).images()] == list(range(40, 50))
    # A group of 12 pictures before the stretch's own is decoded at most.
    assert len(decoded) <= 10 + 11 + 12
    decoded.clear()
    assert [read_stamp(image) for image in video.images(max_pixels=160 * 128)] == list(range(60))
