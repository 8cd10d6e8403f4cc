"""Events of a stream as it goes: those of the whole file, each told once."""

import time
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from himmel.video import LiveVideo, Video
from himmel.video.describe.results import CameraSegment, MovingRegion

Encode = Callable[..., Path]
Picture = npt.NDArray[np.uint8]
Pan = Callable[..., Iterator[Picture]]
SIZE = (320, 192)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, write_clip: Encode, pan: Pan) -> Path:
    """Eight seconds to the right, a cut, eight seconds at rest, then eight downwards."""
    parts = chain(pan(200, SIZE, (-2, 0), 1), pan(200, SIZE, (0, 0), 2), list(pan(201, SIZE, (0, -2), 2))[1:])
    path = tmp_path_factory.mktemp("clip") / "a.ts"
    return write_clip(path, parts, options={"g": "50", "bf": "2"})


def test_events_are_those_of_the_whole(clip: Path) -> None:
    whole = Video(clip).describe()
    with LiveVideo(clip, patience=0.3) as live:
        events = list(live.events())
    cuts = [event for event in events if event.kind == "cut"]
    assert [event.start for event in cuts] == pytest.approx([cut.time for cut in whole.cuts])
    camera = [event.what for event in events if isinstance(event.what, CameraSegment)]
    assert camera[0].start == 0
    assert camera[-1].end == pytest.approx(whole.duration)
    assert all(one.end == other.start for one, other in pairwise(camera))
    for segment in whole.camera:
        middle = (segment.start + segment.end) / 2
        [found] = [one for one in camera if one.start <= middle < one.end]
        assert found.motion is not None
        assert segment.motion is not None
        assert (found.motion.pan, found.motion.tilt) == pytest.approx(
            (segment.motion.pan, segment.motion.tilt), abs=0.5
        )
    assert [event.start for event in events] == sorted(event.start for event in events)


def test_an_event_is_told_while_the_stream_goes_on(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    path = tmp_path / "b.ts"
    path.write_bytes(data[: len(data) * 2 // 3])
    # More than any test may take: only what is there already can tell the event.
    with LiveVideo(path, patience=3600) as live:
        first = next(live.events())
        assert live.state.running
        assert first.words.startswith("the camera pans right by 16 % a second")


def test_something_that_moves_is_told_once(write_clip: Encode, pan: Pan, tmp_path: Path) -> None:
    [ground] = pan(1, SIZE, (0, 0), 3)
    pictures = []
    for k in range(300):
        picture = ground.copy()
        x = 20 + 2 * min(max(k - 50, 0), 100)
        cv2.rectangle(picture, (x, 60), (x + 50, 110), (250, 30, 30), -1)
        cv2.circle(picture, (x + 25, 85), 15, (20, 250, 20), -1)
        pictures.append(picture)
    path = write_clip(tmp_path / "a.ts", pictures, options={"g": "50", "bf": "0"})
    with LiveVideo(path, patience=0.3) as live:
        [seen] = [event.what for event in live.events() if isinstance(event.what, MovingRegion)]
    [whole] = Video(path).describe().regions
    assert seen.direction == whole.direction == "right"
    assert (seen.start, seen.end) == pytest.approx((whole.start, whole.end), abs=0.3)


def test_what_lasts_is_told_in_pieces_of_a_minute(write_clip: Encode, pan: Pan, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", "still", num_frames=650, rate=5, options={"g": "25"})
    with LiveVideo(path, patience=0.3) as live:
        events = [(event.start, event.end, event.words) for event in live.events()]
    assert events == [(0, 60, "nothing moves"), (60, 120, "nothing moves"), (120, 130, "nothing moves")]


def test_regular_keyframes_are_no_cuts(write_clip: Encode, tmp_path: Path) -> None:
    """Their distance is none that encoders usually have."""
    options = {"g": "77", "keyint_min": "77", "sc_threshold": "0"}
    path = write_clip(tmp_path / "a.ts", num_frames=600, options=options)
    with LiveVideo(path, patience=0.3) as live:
        kinds = {event.kind for event in live.events()}
    assert "camera" in kinds
    assert "cut" not in kinds


def test_reading_a_file_waits_for_who_reads_events(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    path = tmp_path / "long.ts"
    path.write_bytes(data * 4)
    with LiveVideo(path, patience=0.3) as live:
        events = live.events()
        next(events)
        ahead = live.state.end
        assert live.state.running
        for _ in events:
            pass
        assert live.state.end > ahead + 20


def test_a_file_longer_than_its_window_is_told_whole_however_late_events_are_asked_for(
    clip: Path, tmp_path: Path
) -> None:
    path = tmp_path / "long.ts"
    path.write_bytes(clip.read_bytes() * 4)
    with LiveVideo(path, minutes=0.1, patience=0.3) as live:
        # Time enough to read all of it.
        time.sleep(1)
        events = list(live.events())
    camera = [event for event in events if event.kind == "camera"]
    assert camera[0].start == 0
    assert camera[-1].end == pytest.approx(96, abs=0.1)
    assert all(one.end == pytest.approx(other.start, abs=0.1) for one, other in pairwise(camera))


def test_events_may_be_left_and_begun_again(clip: Path) -> None:
    with LiveVideo(clip, patience=0.3) as live:
        next(live.events())
        assert len(list(live.events())) >= 3


def test_events_end_with_close(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    path = tmp_path / "b.ts"
    path.write_bytes(data[: len(data) // 2])
    with LiveVideo(path, patience=3600) as live:
        events = live.events()
        next(events)
        live.close()
        assert list(events) == []
        assert live.window().num_frames > 0
