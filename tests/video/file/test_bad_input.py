"""Whatever a user has: it works, or one sentence says what is wrong."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from himmel.errors import HimmelError, VideoError
from himmel.video import Decomposition, Video
from himmel.video.file.pyav import STREAMS_HAVE_AN_INDEX

Encode = Callable[..., Path]


def message(path: Path) -> str:
    """The sentence that opening a file fails with."""
    with pytest.raises(VideoError) as caught:
        Video(path)
    text = str(caught.value)
    assert repr(str(path)) in text
    assert "\n" not in text
    assert text.endswith(".")
    return text


def attempt(path: Path) -> Decomposition | str:
    """A decomposition, or the sentence why not."""
    try:
        return Video(path).decompose(num_anchors=3, steps_per_interval=4)
    except HimmelError as error:
        return str(error)


def test_missing_file(tmp_path: Path) -> None:
    assert "no file" in message(tmp_path / "none.mp4")


def test_directory(tmp_path: Path) -> None:
    assert "folder" in message(tmp_path)


def test_zero_length(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert "0 bytes" in message(path)


@pytest.mark.parametrize("name", ["text.mp4", "text.txt", "text.ans"])
def test_text(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("Call me Ishmael. Some years ago, never mind how long precisely.\n" * 50)
    message(path)


def test_audio_only(tmp_path: Path) -> None:
    path = tmp_path / "tone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        tone = np.sin(np.arange(16000) / 20, dtype=np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "no video stream (it holds audio)" in message(path)


def test_cover_art_is_no_video(tmp_path: Path, encode_clip: Encode) -> None:
    picture = encode_clip("cover.png", num_frames=1, codec="png", pix_fmt="rgb24", container_format="image2")
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("mp3", rate=16000, layout="mono")
        with av.open(str(picture)) as source:
            cover = container.add_stream_from_template(source.streams.video[0])
            cover.disposition = av.stream.Disposition.attached_pic.value
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(sound.encode(frame))
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = cover
                    container.mux(packet)
            container.mux(sound.encode(None))
    assert "no video stream" in message(path)


def test_truncated_without_its_index(tmp_path: Path, encode_clip: Encode) -> None:
    """An MP4 keeps its index at the end: without it nothing can be read."""
    path = tmp_path / "cut.mp4"
    data = encode_clip("whole.mp4").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "damaged" in message(path)


@pytest.mark.parametrize(
    ("name", "how"), [("a.mp4", {"container_options": {"movflags": "faststart"}}), ("a.mkv", {}), ("a.ts", {})]
)
def test_truncated_with_its_index(name: str, how: dict, tmp_path: Path, encode_clip: Encode) -> None:
    data = encode_clip(name, options={"g": "10"}, num_frames=60, **how).read_bytes()
    path = tmp_path / f"cut_{name}"
    path.write_bytes(data[: int(len(data) * 0.6)])
    video = Video(path)
    assert 15 < video.num_frames < 60
    decomposition = video.decompose(num_anchors=4)
    assert len(decomposition.anchors) == 4
    assert sum(len(interval.frames) for interval in decomposition.intervals) > 10
    if name == "a.mp4":
        told = [note for note in decomposition.notes if "cut short" in note]
        assert told
        # How many pictures there were is known from FFmpeg's index alone.
        assert "60" in told[0] or not STREAMS_HAVE_AN_INDEX


@pytest.mark.parametrize("backend", ["auto", "bitstream", "libav", "proxy"])
def test_one_picture(backend: str, encode_clip: Encode) -> None:
    decomposition = Video(encode_clip("one.mp4", num_frames=1)).decompose(backend=backend)
    assert len(decomposition.anchors) == len(decomposition.intervals) == 1
    assert decomposition.intervals[0].maps.past.shape == (0, 2, 16, 20)
    assert decomposition.intervals[0].frames.shape == (0,)
    assert decomposition.duration == pytest.approx(1 / 25)
    assert any("8 anchors" in note and "1 picture" in note for note in decomposition.notes)


def test_more_anchors_than_pictures_clamp_and_say_so(encode_clip: Encode) -> None:
    decomposition = Video(encode_clip("few.mp4", num_frames=5)).decompose(num_anchors=9)
    assert [anchor.frame for anchor in decomposition.anchors] == [0, 1, 2, 3, 4]
    assert all(len(interval.frames) == 0 for interval in decomposition.intervals)
    assert any("9 anchors were requested" in note and "5 anchors are used" in note for note in decomposition.notes)


@pytest.mark.parametrize("size", [(8, 8), (2, 2), (16, 8), (17, 33), (161, 121), (1, 1)])
@pytest.mark.parametrize("backend", ["libav", "proxy"])
def test_small_and_odd_sizes(size: tuple[int, int], backend: str, encode_clip: Encode) -> None:
    odd = any(side % 2 for side in size)
    path = encode_clip("odd.mp4", size=size, num_frames=12, pix_fmt="yuv444p" if odd else "yuv420p")
    decomposition = Video(path).decompose(num_anchors=2, backend=backend)
    assert decomposition.anchors[0].image.shape == (size[1], size[0], 3)
    for interval in decomposition.intervals:
        for name, values in interval.maps.__dict__.items():
            assert np.isfinite(values).all(), name
        assert interval.maps.covered.max() <= 1


def without_key_flags(source: Path, target: Path) -> Path:
    """Copy a clip packet by packet with no packet marked as keyframe."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.is_keyframe = False
                packet.stream = stream
                new.mux(packet)
    return target


@pytest.mark.parametrize(
    ("name", "codec", "note"),
    [
        ("a.flv", "flv", "marks no picture as a keyframe"),
        ("a.mp4", "mpeg4", "wrongly marks every picture as a keyframe"),
    ],
)
def test_no_keyframe_index(name: str, codec: str, note: str, tmp_path: Path, encode_clip: Encode) -> None:
    """FLV then marks none; MP4 has no table of keyframes, which means by its standard that all pictures are."""
    whole = encode_clip(f"whole_{name}", codec=codec, options={"g": "10"})
    video, plain = Video(without_key_flags(whole, tmp_path / name)), Video(whole)
    assert len(plain.keyframes) == 4
    assert len(video.keyframes) <= 1
    assert any(note in text for text in video.notes)
    one = video.decompose(num_anchors=4, anchor_mode="exact")
    other = plain.decompose(num_anchors=4, anchor_mode="exact")
    for a, b in zip(one.anchors, other.anchors, strict=True):
        assert np.array_equal(a.image, b.image)
    for first, second in zip(one.intervals, other.intervals, strict=True):
        at, there = (np.isin(i.frames, j.frames) for i, j in ((first, second), (second, first)))
        assert np.array_equal(first.maps.past[at], second.maps.past[there])


def test_pictures_before_the_first_keyframe_are_left_out(tmp_path: Path, encode_clip: Encode) -> None:
    whole = encode_clip("whole.mkv", options={"g": "10", "bf": "0"})
    path = tmp_path / "tail.mkv"
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in list(old.demux(video=0))[6:]:
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    video = Video(path)
    assert video.num_frames == 30
    assert video.keyframes.tolist() == [0, 10, 20]
    assert any(note.startswith("4 pictures before") for note in video.notes)
    video.decompose()


def test_a_damaged_middle_is_survived(tmp_path: Path, encode_clip: Encode) -> None:
    path = encode_clip("d.ts", options={"g": "10"}, num_frames=60)
    data = bytearray(path.read_bytes())
    middle = slice(len(data) // 3, len(data) // 2)
    data[middle] = np.random.default_rng(0).integers(0, 256, len(data[middle]), dtype=np.uint8).tobytes()
    path.write_bytes(data)
    outcome = attempt(path)
    assert isinstance(outcome, str) or 1 <= len(outcome.anchors) == len(outcome.intervals) <= 3


def test_an_anchor_that_cannot_be_decoded_is_left_out(encode_clip: Encode) -> None:
    """There is no whole picture between its neighbours either."""
    path = encode_clip("a.mp4", options={"g": "10", "bf": "0"}, num_frames=40)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in list(container.demux(video=0))[1:20]:
            data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    outcome = Video(path).decompose(num_anchors=4)
    assert [anchor.frame for anchor in outcome.anchors] == [0, 20, 30]
    assert [interval.anchor for interval in outcome.intervals] == [0, 1, 2]
    assert any("0.400 s cannot be decoded" in note for note in outcome.notes)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> list[bytes]:
    """Bytes of a few tiny clips to damage."""
    folder = tmp_path_factory.mktemp("small")
    kinds = [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "mpeg2video"), ("a.avi", "mpeg4")]
    return [
        write_clip(folder / name, codec=codec, size=(48, 32), num_frames=12, options={"g": "5"}).read_bytes()
        for name, codec in kinds
    ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_gives_a_result_or_a_sentence(
    small_files: list[bytes], tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(small_files), label="file"))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.bin"
    whole = data.draw(st.booleans(), label="whole")
    path.write_bytes(content if whole else content[: data.draw(st.integers(1, len(content)))])
    outcome = attempt(path)
    if isinstance(outcome, str):
        assert outcome.endswith(".")
        assert "\n" not in outcome
    else:
        for interval in outcome.intervals:
            assert all(np.isfinite(values).all() for values in interval.maps.__dict__.values())
