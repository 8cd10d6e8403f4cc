"""Backend "bitstream", held against backend "libav" where that is exact, and against itself."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from himmel.errors import VideoError
from himmel.video import StepMaps, Video
from himmel.video.backends import engine

Encode = Callable[..., Path]

ONE_REFERENCE = {"g": "40", "bf": "0", "x264-params": "ref=1:weightp=0:partitions=none:no-8x8dct=1"}
PYRAMID = {"g": "30", "bf": "3", "x264-params": "b-pyramid=normal:ref=3"}
MAPS = tuple(StepMaps.__dataclass_fields__)


def test_one_reference_is_read_as_libav_reads_it(encode_clip: Encode) -> None:
    path = encode_clip("p.mp4", options=ONE_REFERENCE)
    ours, theirs = (
        Video(path).decompose(num_anchors=1, steps_per_interval=39, backend=name).intervals[0]
        for name in ("bitstream", "libav")
    )
    assert np.array_equal(ours.frames, theirs.frames)
    for name in ("past", "past_valid", "future_valid", "past_distance", "covered"):
        assert np.allclose(ours.maps.__dict__[name], theirs.maps.__dict__[name], atol=1e-5), name


def test_steps_parsed_alone_are_those_parsed_with_all_others(encode_clip: Encode) -> None:
    path = encode_clip("s.mp4", num_frames=70, options=PYRAMID)
    every = Video(path).decompose(num_anchors=1, steps_per_interval=69).intervals[0]
    for steps in (1, 4, 11):
        few = Video(path).decompose(num_anchors=1, steps_per_interval=steps).intervals[0]
        at = np.searchsorted(every.frames, few.frames)
        for name in MAPS:
            assert np.array_equal(every.maps.__dict__[name][at], few.maps.__dict__[name]), (steps, name)


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("size", [(150, 98), (162, 110)])
def test_turned_pictures_have_their_cells_counted_from_the_displayed_corner(
    rotation: int, size: tuple[int, int], encode_clip: Encode
) -> None:
    path = encode_clip("r.mp4", size=size, rotation=rotation, options=ONE_REFERENCE)
    ours, theirs = (Video(path).decompose(num_anchors=1, cell=8, backend=name) for name in ("bitstream", "libav"))
    assert ours.grid == theirs.grid
    for name in ("past", "past_valid", "covered"):
        one, other = (read.intervals[0].maps.__dict__[name] for read in (ours, theirs))
        assert np.allclose(one, other, atol=1e-4), name


def test_an_exact_prediction_leaves_no_residual(encode_clip: Encode) -> None:
    """Skipped macroblocks have no coefficients: a still clip's residual is 0."""
    maps = Video(encode_clip("0.mp4", "still", options={"bf": "2"})).decompose(num_anchors=1).intervals[0].maps
    assert not maps.residual.any()
    assert (maps.covered == 1).all()


def test_interlaced_streams_are_read(encode_clip: Encode, pan: Callable) -> None:
    path = encode_clip("i.mp4", pan(30, (160, 128), (4, 2)), options={"x264-params": "interlaced=1:bframes=0"})
    decomposition = Video(path).decompose(num_anchors=1)
    assert decomposition.backend == "bitstream"
    maps = decomposition.intervals[0].maps
    inner = maps.past[:, 0, 3:-3, 3:-3] / maps.past_distance[:, None, None]
    assert np.median(inner) == pytest.approx(4, abs=0.3)


def test_the_middle_of_an_open_group_of_pictures(encode_clip: Encode) -> None:
    """Pictures that follow a keyframe in the file and precede it on the screen need references from before it."""
    options = {"g": "12", "bf": "3", "x264-params": "open-gop=1:b-adapt=0"}
    path = encode_clip("o.mp4", num_frames=60, options=options)
    every = Video(path).decompose(num_anchors=1, steps_per_interval=59).intervals[0]
    for anchors in (2, 5):
        read = Video(path).decompose(num_anchors=anchors, steps_per_interval=7)
        for interval in read.intervals:
            at = np.searchsorted(every.frames, interval.frames)
            assert np.array_equal(every.maps.past[at], interval.maps.past)
            assert np.array_equal(every.maps.past_distance[at], interval.maps.past_distance)


def test_without_the_engine_libav_is_taken_and_says_why(encode_clip: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "himmel_bitstream", None)
    video = Video(encode_clip("a.mp4"))
    decomposition = video.decompose(num_anchors=1)
    assert decomposition.backend == "libav"
    assert "installed without its bitstream engine" in decomposition.backend_reason
    assert "`pip install .` in himmel's checkout" in decomposition.backend_reason
    with pytest.raises(VideoError, match="installed without its bitstream engine"):
        video.decompose(backend="bitstream")


def test_another_codec_is_refused_by_name(encode_clip: Encode) -> None:
    path = encode_clip("m.mp4", codec="mpeg4", options={"g": "12"})
    with pytest.raises(VideoError, match=r"only reads H\.264, not mpeg4"):
        Video(path).decompose(backend="bitstream")
    assert Video(path).decompose(num_anchors=1).backend == "libav"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_one_flipped_bit_costs_its_picture_alone(name: str, tmp_path: Path, encode_clip: Encode) -> None:
    """nal_unit_type 1 becomes 3, a data partition, which the engine refuses; pictures around it read as before."""
    path = encode_clip(name, num_frames=60, options={"g": "20", "bf": "0", "x264-params": "ref=1:scenecut=0"})
    whole = Video(path).decompose(num_anchors=1, steps_per_interval=60).intervals[0]
    with av.open(str(path)) as container:
        victim = [bytes(packet) for packet in container.demux(video=0) if packet.size][33]
    data = bytearray(path.read_bytes())
    at = bytes(data).index(victim)
    assert data[at + 4] & 31 == 1
    data[at + 4] ^= 2
    broken = tmp_path / f"broken{path.suffix}"
    broken.write_bytes(data)
    decomposition = Video(broken).decompose(num_anchors=1, steps_per_interval=60)
    assert decomposition.backend == "bitstream"
    assert any("1 step is left out" in note for note in decomposition.notes)
    read = decomposition.intervals[0]
    assert read.frames.tolist() == [frame for frame in whole.frames.tolist() if frame != 33]
    for field in ("past", "past_valid", "residual", "covered"):
        before = whole.maps.__dict__[field][whole.frames < 33]
        assert np.array_equal(before, read.maps.__dict__[field][read.frames < 33]), field
        after = whole.maps.__dict__[field][whole.frames > 40]
        assert np.array_equal(after, read.maps.__dict__[field][read.frames > 40]), field
