"""What becomes of streams whose clock jumps, whose pictures change, or that begin in the middle."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from himmel.errors import VideoError
from himmel.video import LiveEvent, LiveVideo, Video
from himmel.video.file.pyav import PACKETS_HAVE_SIDE_DATA
from himmel.video.live.growing import GrowingFile

Encode = Callable[..., Path]
PATIENCE = 0.3
OPTIONS = {"g": "25", "bf": "0"}


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are over where they end, however long that takes to find."""
    why = GrowingFile._why_ended
    monkeypatch.setattr(GrowingFile, "_why_ended", lambda file: why(file) or "quiet")


def watch(path: Path, *, patience: float = PATIENCE, **options: float) -> tuple[list[LiveEvent], Video]:
    with LiveVideo(path, patience=patience, **options) as live:
        return list(live.events(motion=False)), live.window()


def noise(num_frames: int) -> list[npt.NDArray[np.uint8]]:
    """Pictures that cannot be predicted."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (128, 160, 3), np.uint8) for _ in range(num_frames)]


@pytest.fixture
def joined(tmp_path: Path) -> Callable[..., Path]:
    def join(*paths: Path) -> Path:
        whole = tmp_path / "joined.ts"
        whole.write_bytes(b"".join(path.read_bytes() for path in paths))
        return whole

    return join


@pytest.mark.parametrize("shift", [-50, 500])
def test_times_are_counted_on_where_the_clock_jumps(
    shift: int, encode_clip: Encode, joined: Callable[..., Path]
) -> None:
    first = encode_clip("a.ts", num_frames=50, options=OPTIONS, shift=25 * 60)
    second = encode_clip("b.ts", num_frames=50, options=OPTIONS, shift=25 * (60 + shift))
    events, window = watch(joined(first, second))
    assert [event.words for event in events] == [
        f"The stream's clock jumped by {shift - 49 / 25:+.1f} s; its times are counted on"
    ]
    assert events[0].start == pytest.approx(2)
    np.testing.assert_allclose(np.diff(window.times), 0.04, atol=1e-4)
    assert window.num_frames == 100


def test_parameter_sets_may_change(encode_clip: Encode, joined: Callable[..., Path]) -> None:
    """Of the same size, a window spans both; pictures and maps are those of each part alone."""
    first = encode_clip("a.ts", num_frames=50, options=OPTIONS)
    second = encode_clip("b.ts", num_frames=50, options={**OPTIONS, "profile": "baseline", "refs": "3"}, shift=50)
    events, window = watch(joined(first, second))
    assert (events, window.num_frames) == ([], 100)
    maps = [picture.past for picture in window.pictures()]
    alone = [picture.past for path in (first, second) for picture in Video(path).pictures()]
    for mine, theirs in zip(maps, alone, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    images = [image for path in (first, second) for image in Video(path).images()]
    for mine, theirs in zip(window.images(), images, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.skipif(not PACKETS_HAVE_SIDE_DATA, reason="PyAV before 16 does not hand on new headers")
def test_global_headers_may_change(encode_clip: Encode, tmp_path: Path) -> None:
    """An FLV sends a new sequence header; the window's packets carry their own parameter sets then."""
    first = encode_clip("a.flv", num_frames=50, options=OPTIONS)
    second = encode_clip("b.flv", num_frames=50, options={**OPTIONS, "profile": "baseline"}, shift=50)
    path = tmp_path / "joined.flv"
    path.write_bytes(first.read_bytes() + second.read_bytes()[13:])
    window = watch(path)[1]
    assert window.num_frames == 100
    images = [image for one in (first, second) for image in Video(one).images()]
    for mine, theirs in zip(window.images(), images, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_pictures_of_another_size_begin_anew(encode_clip: Encode, joined: Callable[..., Path]) -> None:
    first = encode_clip("a.ts", num_frames=50, options=OPTIONS)
    second = encode_clip("b.ts", num_frames=75, size=(320, 240), options=OPTIONS, shift=50)
    events, window = watch(joined(first, second))
    assert [event.words for event in events] == [
        "The pictures change from h264, 160 x 128 to h264, 320 x 240; questions are about those since"
    ]
    assert (window.start, window.num_frames, window.width) == (pytest.approx(2), 75, 320)


def test_another_codec_begins_anew(encode_clip: Encode, tmp_path: Path) -> None:
    """A file that is replaced is another connection."""
    path = encode_clip("a.ts", num_frames=50, options=OPTIONS)
    other = encode_clip("b.ts", num_frames=50, codec="mpeg2video", options={"g": "10"})
    with LiveVideo(path, patience=5) as live:
        notices = live.events(motion=False)
        other.replace(path)
        assert "the file was replaced" in next(notices).words
        assert [event.words for event in notices] == [
            "The pictures change from h264, 160 x 128 to mpeg2video, 160 x 128; questions are about those since"
        ]
        assert (live.window().codec, live.window().num_frames) == ("mpeg2video", 50)


@pytest.mark.usefixtures("ending")
def test_what_comes_before_the_first_keyframe_is_left_out(encode_clip: Encode, tmp_path: Path) -> None:
    data = encode_clip("a.ts", num_frames=75, options=OPTIONS).read_bytes()
    path = tmp_path / "b.ts"
    # The tables of a stream come first, and again now and then.
    path.write_bytes(data[: 3 * 188] + data[20 * 188 :])
    window = watch(path, patience=60)[1]
    assert window.num_frames == 50
    assert window.keyframes.tolist() == [0, 25]


@pytest.mark.usefixtures("ending")
def test_a_stream_without_keyframes_is_one_sentence(encode_clip: Encode, tmp_path: Path) -> None:
    data = encode_clip("a.flv", num_frames=40, options=OPTIONS).read_bytes()
    path, kept, at = tmp_path / "b.flv", data[:13], 13
    while at < len(data):
        # Tags of FLV: the frame type is 1 for keyframes, and what follows it 1 for pictures.
        end = at + 15 + int.from_bytes(data[at + 1 : at + 4], "big")
        if not (data[at] == 9 and data[at + 11] == 0x17 and data[at + 12] == 1):
            kept += data[at:end]
        at = end
    path.write_bytes(kept)
    with pytest.raises(VideoError, match="ended before a picture that can be decoded by itself"):
        LiveVideo(path, patience=60)


def test_a_stream_without_pictures_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp2", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152 * 2), np.int16), "s16", "stereo")
        frame.rate = 48_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    with pytest.raises(VideoError, match="has no video stream"):
        LiveVideo(path, patience=PATIENCE)


def test_the_window_is_bounded_in_seconds(encode_clip: Encode) -> None:
    path = encode_clip("a.ts", num_frames=250, options={"g": "20"})
    with LiveVideo(path, minutes=0.05, patience=PATIENCE) as live:
        list(live.events(motion=False))
        state, window = live.state, live.window()
    # Three seconds, back to the keyframe before.
    assert (state.start, state.end) == (6.4, 10.0)
    assert window.num_frames == 90
    assert window.start == 6.4


def test_the_window_is_bounded_in_bytes(encode_clip: Encode) -> None:
    path = encode_clip("a.ts", noise(80), options={"g": "10", "qp": "1", "bf": "0"})
    megabyte = 2**20
    assert path.stat().st_size > 1.5 * megabyte
    with LiveVideo(path, megabytes=1, patience=PATIENCE) as live:
        events = list(live.events(motion=False))
        state = live.state
    assert 0 < state.bytes <= megabyte
    assert [event.words for event in events] == ["Memory is full before the window is; the oldest pictures are dropped"]


def test_one_group_that_fills_memory_is_dropped(encode_clip: Encode) -> None:
    path = encode_clip("a.ts", noise(110), options={"g": "100", "qp": "1", "bf": "0", "sc_threshold": "0"})
    with LiveVideo(path, megabytes=1, patience=PATIENCE) as live:
        events = list(live.events(motion=False))
        state = live.state
    assert "No keyframe came for so long that memory is full" in events[0].words
    assert 0 < state.bytes <= 2**20
    assert state.start == 4.0
