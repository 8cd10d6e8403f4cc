"""Maps from vectors, held against known motion and, for backend "libav", against FFmpeg's own export."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import Flags2

from himmel.errors import VideoError
from himmel.video import Decomposition, StepMaps, Video
from himmel.video.backends import engine

Encode = Callable[..., Path]

PYRAMID = {"g": "30", "bf": "3", "x264-params": "b-pyramid=normal:ref=3"}
MAPS = tuple(StepMaps.__dataclass_fields__)


FIELDS = ("source", "w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale")
NOTHING = np.zeros(0, [(name, "i4") for name in FIELDS])


def exported(path: Path) -> list[np.ndarray]:
    """All motion vectors by plain decoding in one thread, in presentation order; empty arrays for intra pictures."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.flags2 |= Flags2.export_mvs
        for frame in container.decode(stream):
            data = frame.side_data.get("MOTION_VECTORS")
            found.append(NOTHING if data is None else data.to_ndarray().copy())
            del frame, data
    return found


def same(one: Decomposition, other: Decomposition) -> bool:
    """Whether two decompositions hold the same bytes."""
    pairs = zip(one.intervals, other.intervals, strict=True)
    return all(np.array_equal(a.image, b.image) for a, b in zip(one.anchors, other.anchors, strict=True)) and all(
        np.array_equal(a.frames, b.frames)
        and all(a.maps.__dict__[name].tobytes() == b.maps.__dict__[name].tobytes() for name in MAPS)
        for a, b in pairs
    )


def inner(maps: np.ndarray) -> np.ndarray:
    """Cells away from the border, where content comes into the picture."""
    return maps[..., 3:-3, 3:-3]


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"g": "30", "bf": "0", "refs": "1"}),
        ("libx264", PYRAMID),
        ("mpeg2video", {"g": "12", "bf": "2", "b": "4M"}),
        ("mpeg4", {"g": "12", "b": "4M"}),
        ("flv", {"g": "12", "b": "4M"}),
    ],
)
# Whole chroma pixels: otherwise x264 takes references farther back, where chroma fits without interpolation.
@pytest.mark.parametrize("velocity", [(4, 2), (-2, -2)])
def test_a_pan_is_read_with_sign_and_size(
    codec: str, options: dict, velocity: tuple[int, int], encode_clip: Encode, pan: Callable
) -> None:
    path = encode_clip(
        "p.flv" if codec == "flv" else "p.mkv", pan(40, (160, 128), velocity), codec=codec, options=options
    )
    decomposition = Video(path).decompose(num_anchors=2)
    assert decomposition.backend == ("bitstream" if codec == "libx264" else "libav")
    speeds = []
    for interval in decomposition.intervals:
        maps = interval.maps
        sides = (
            (maps.past, maps.past_valid, maps.past_distance),
            (maps.future, maps.future_valid, maps.future_distance),
        )
        for displacement, valid, distance in sides:
            for k in np.flatnonzero(distance):
                known = inner(valid[k]) > 0.99
                if known.sum() >= 20:
                    speeds.append([np.median(inner(part)[known]) / distance[k] for part in displacement[k]])
    wrong = np.abs(np.array(speeds) - velocity).max(axis=1)
    assert len(speeds) >= 20
    assert np.median(wrong) <= 0.05
    assert (wrong <= 0.3).mean() > 0.9


def test_b_pictures_have_past_and_future_and_p_pictures_past_alone(encode_clip: Encode) -> None:
    path = encode_clip("b.mp4", options={"g": "40", "bf": "2", "x264-params": "b-adapt=0:b-pyramid=none:ref=1"})
    with av.open(str(path)) as container:
        kinds = [av.video.frame.PictureType(frame.pict_type).name for frame in container.decode(video=0)]
    assert kinds[:7] == ["I", "B", "B", "P", "B", "B", "P"]
    interval = Video(path).decompose(num_anchors=1, steps_per_interval=39).intervals[0]
    for frame, past, future in zip(
        interval.frames, interval.maps.past_distance, interval.maps.future_distance, strict=True
    ):
        place = frame % 3
        if frame < 37:
            assert (past, future) == {0: (3, 0), 1: (1, 2), 2: (2, 1)}[place], (frame, kinds[frame])


def test_maps_hold_exactly_what_ffmpeg_exports(encode_clip: Encode) -> None:
    """The area-weighted sum over all cells equals the sum over FFmpeg's vectors; the numbers are the same too."""
    path = encode_clip("e.mp4", size=(160, 128), options=PYRAMID)
    raw = exported(path)
    decomposition = Video(path).decompose(num_anchors=1, steps_per_interval=39, cell=8, backend="libav")
    interval = decomposition.intervals[0]
    assert decomposition.num_vectors == sum(len(raw[frame]) for frame in interval.frames)
    for k, frame in enumerate(interval.frames):
        vectors = raw[frame]
        for sign, name, chosen in (
            (-1, "past", vectors["source"] < 0),
            (1, "future", vectors["source"] > 0),
        ):
            part = vectors[chosen]
            area = part["w"].astype(float) * part["h"]
            maps, valid = interval.maps.__dict__[name][k], interval.maps.__dict__[f"{name}_valid"][k]
            for axis, motion in enumerate(("motion_x", "motion_y")):
                total = (sign * area * part[motion] / np.maximum(part["motion_scale"], 1)).sum()
                assert (maps[axis] * valid * 64).sum() == pytest.approx(total, rel=1e-4, abs=0.1)
            assert valid.sum() * 64 == pytest.approx(area.sum())


def test_steps_left_out_change_nothing(encode_clip: Encode) -> None:
    """Pictures that nobody refers to are skipped; the maps of the others stay the same."""
    path = encode_clip("s.mp4", num_frames=60, options=PYRAMID)
    every = Video(path).decompose(num_anchors=1, steps_per_interval=59).intervals[0]
    for steps in (3, 7):
        few = Video(path).decompose(num_anchors=1, steps_per_interval=steps).intervals[0]
        at = np.searchsorted(every.frames, few.frames)
        for name in MAPS:
            assert np.array_equal(every.maps.__dict__[name][at], few.maps.__dict__[name]), name


@pytest.mark.parametrize("backend", ["bitstream", "libav", "proxy"])
def test_any_number_of_threads_and_runs_gives_the_same_bytes(backend: str, encode_clip: Encode) -> None:
    path = encode_clip("t.mp4", num_frames=60, size=(96, 64), options={**PYRAMID, "g": "9"})
    video = Video(path)
    first = video.decompose(threads=1, backend=backend, num_anchors=4, steps_per_interval=8)
    for run in range(20):
        again = video.decompose(threads=(1, 2, 4)[run % 3], backend=backend, num_anchors=4, steps_per_interval=8)
        assert same(first, again), run
    assert same(first, Video(path).decompose(backend=backend, num_anchors=4, steps_per_interval=8))


def test_residual_is_small_where_motion_explains_the_picture(encode_clip: Encode) -> None:
    maps = Video(encode_clip("r.mp4", options={"crf": "18", "bf": "2"})).decompose(num_anchors=1).intervals[0].maps
    assert np.median(inner(maps.residual[:, 0])) < 1.5
    assert (inner(maps.covered) > 0.99).mean() > 0.95


def test_brightening_is_a_residual_with_a_sign(encode_clip: Encode) -> None:
    """A static picture that gets brighter by 2 a picture: no motion, a positive mean residual."""
    base = np.full((96, 128, 3), 60, np.uint8)
    frames = [base + np.uint8(2 * k) for k in range(30)]
    path = encode_clip("l.mp4", frames, options={"bf": "0", "x264-params": "weightp=0:ref=1:keyint=30", "crf": "10"})
    maps = Video(path).decompose(num_anchors=1).intervals[0].maps
    grey_step = 2 * 219 / 255
    known = maps.covered > 0.99
    assert known.any()
    assert np.median(maps.residual[:, 1][known]) == pytest.approx(grey_step, abs=0.6)
    assert np.abs(maps.past).max() < 1


def test_intra_blocks_are_uncovered(encode_clip: Encode, pan: Callable) -> None:
    """A scene change without a keyframe has nothing to be predicted from."""
    frames = [*pan(10, (128, 96), (1, 0), seed=1), *pan(10, (128, 96), (1, 0), seed=2)]
    path = encode_clip("c.mp4", frames, options={"g": "50", "bf": "0", "sc_threshold": "0"})
    interval = Video(path).decompose(num_anchors=1, steps_per_interval=19).intervals[0]
    intra = 1 - interval.maps.covered.mean(axis=(1, 2))
    assert interval.frames[np.argmax(intra)] == 10
    assert intra[9] > 0.7
    assert np.median(intra) < 0.2


def test_rotated_maps_are_the_turned_maps(encode_clip: Encode) -> None:
    size = (160, 96)
    plain = Video(encode_clip("0.mp4", size=size)).decompose(num_anchors=1).intervals[0].maps
    turned = Video(encode_clip("90.mp4", size=size, rotation=-90)).decompose(num_anchors=1)
    assert turned.grid == (20, 12)
    maps = turned.intervals[0].maps
    clockwise = np.rot90(plain.past, -1, axes=(2, 3))
    assert np.allclose(maps.past, np.stack((-clockwise[:, 1], clockwise[:, 0]), axis=1))
    assert np.allclose(maps.residual, np.rot90(plain.residual, -1, axes=(2, 3)), atol=1e-4)
    assert np.array_equal(maps.covered, np.rot90(plain.covered, -1, axes=(1, 2)))


@pytest.mark.parametrize(
    ("size", "expected"), [((1280, 720), 16), ((160, 128), 8), ((640, 272), 8), ((1920, 1080), 16)]
)
def test_cell_is_the_smallest_with_at_most_120_across(
    size: tuple[int, int], expected: int, encode_clip: Encode
) -> None:
    decomposition = Video(encode_clip("c.mp4", "still", size=size, num_frames=2)).decompose(num_anchors=1)
    assert decomposition.cell == expected
    assert decomposition.grid == (-(-size[1] // expected), -(-size[0] // expected))


def test_mpeg4_b_pictures_yield_zeros_and_so_get_the_proxy(encode_clip: Encode) -> None:
    path = encode_clip("m.mp4", codec="mpeg4", options={"g": "12", "bf": "2"})
    decomposition = Video(path).decompose(num_anchors=1)
    assert decomposition.backend == "proxy"
    assert "B pictures" in decomposition.backend_reason
    asked = Video(path).decompose(num_anchors=1, backend="libav")
    maps = asked.intervals[0].maps
    assert any("B pictures" in note for note in asked.notes)
    empty = maps.past_distance == 0
    assert empty.any()
    assert not maps.covered[empty].any()
    assert not maps.residual[empty].any()


def test_interlaced_h264_without_the_engine_gets_the_proxy(
    encode_clip: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "himmel_bitstream", None)
    path = encode_clip("i.mp4", options={"x264-params": "interlaced=1"})
    decomposition = Video(path).decompose(num_anchors=1)
    assert decomposition.backend == "proxy"
    assert "interlaced" in decomposition.backend_reason


def test_libav_on_a_file_without_vectors_is_one_sentence(encode_clip: Encode) -> None:
    path = encode_clip("h.mp4", codec="libx265", options={"x265-params": "log-level=error"}, num_frames=12)
    with pytest.raises(VideoError, match=r"no vectors.*hevc.*'auto' or 'proxy'"):
        Video(path).decompose(backend="libav")
