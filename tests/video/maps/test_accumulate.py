"""Accumulated vectors and residuals, each held against `backtracing`, which follows every pixel by itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.codec.context import Flags2
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from hypothesis import given
from hypothesis import strategies as st

from backtracing import NOBODY, Pixels, cell_mean, follow_all
from himmel.video import Interval, Video
from himmel.video.backends.trace_parsed import link_vectors
from himmel.video.maps import flow
from himmel.video.maps.accumulate import Links, Trace
from himmel.video.maps.residual import copy_planes
from himmel_bitstream import Stream

Encode = Callable[..., Path]

SIZE = (64, 48)
ONE_REFERENCE = {"g": "40", "bf": "0", "x264-params": "ref=1:weightp=0:scenecut=0"}
STREAMS = {
    "one reference": ONE_REFERENCE,
    "several references": {"g": "40", "bf": "0", "x264-params": "ref=4:scenecut=0"},
    "pyramid": {"g": "40", "bf": "3", "x264-params": "b-pyramid=normal:ref=4:b-adapt=0:scenecut=0"},
    "fields": {"g": "40", "bf": "1", "x264-params": "interlaced=1:ref=3"},
    "intra blocks": {"g": "40", "bf": "0", "qp": "40", "x264-params": "ref=1:intra-refresh=1:keyint=8"},
}


def clip(seed: int, size: tuple[int, int] = SIZE, num_frames: int = 12) -> Iterator[npt.NDArray[np.uint8]]:
    """Two textures that move apart, so that blocks are split, uncovered and coded intra."""
    rng = np.random.default_rng(seed)
    width, height = size
    rough = rng.integers(0, 255, (2, height // 4 + 40, width // 4 + 40, 3), np.uint8)
    back, front = rough.repeat(4, axis=1).repeat(4, axis=2)
    for k in range(num_frames):
        picture = back[2 * k : 2 * k + height, 40 + k : 40 + k + width].copy()
        x = (5 * k) % width
        patch = front[:24, : min(24, width - x)]
        picture[12:36, x : x + patch.shape[1]] = patch
        yield picture


@dataclass
class Oracle:
    """The pictures of a file by decode-order number, with their places in presentation order."""

    pictures: dict[int, Pixels]
    rank: dict[int, int]


def read_parsed(path: Path) -> tuple[Oracle, dict[int, object]]:
    """Paint the engine's raw vectors pixel by pixel."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        packets = [packet for packet in container.demux(video) if packet.size]
        stream = Stream(video.codec_context.extradata)
        by_time = sorted(range(len(packets)), key=lambda number: packets[number].pts)
        rank = {number: place for place, number in enumerate(by_time)}
        parsed = {}
        for number, packet in enumerate(packets):
            parsed |= {p.number: p for p in stream.push(packet, number=number, position=float(rank[number]))}
        parsed |= {p.number: p for p in stream.flush()}
    pictures = {}
    for number, picture in parsed.items():
        width, height = picture.coded_size
        best = np.full((height, width), np.inf)
        dx, dy = np.zeros((height, width)), np.zeros((height, width))
        reference = np.full((height, width), NOBODY)
        for vector in picture.vectors():
            away = rank[number] - rank[int(vector["ref_number"])]
            # The past before the future, then the nearer, then list 0.
            cost = 1000 * (away < 0) + 2 * abs(away) + int(vector["list"])
            right, down = int(vector["mv_x"]) / 4, int(vector["mv_y"]) / 4
            step = 1
            if vector["field"]:
                step = 2
                down = 2 * down + (int(vector["ref_structure"]) == 2) - (int(vector["field"]) == 2)
            for y in range(vector["y"], vector["y"] + step * vector["h"], step):
                for x in range(vector["x"], vector["x"] + vector["w"]):
                    if cost < best[y, x]:
                        best[y, x], dx[y, x], dy[y, x] = cost, right, down
                        reference[y, x] = vector["ref_number"]
        before = [m for m in parsed if m < number and parsed[m].reference and rank[m] < rank[number]]
        fallback = max(before, key=lambda m: rank[m], default=NOBODY)
        pictures[number] = Pixels(dx, dy, reference, fallback, picture.residual())
    return Oracle(pictures, rank), parsed


@pytest.fixture(params=STREAMS)
def parsed_file(request: pytest.FixtureRequest, encode_clip: Encode) -> Path:
    return encode_clip("p.mp4", clip(3), options=STREAMS[request.param])


@pytest.mark.parametrize("base_place", [0, 3])
def test_every_pixel_of_a_parsed_stream_is_traced_as_by_hand(parsed_file: Path, base_place: int) -> None:
    """Displacement and residual per pixel, from the first picture and from one in the middle of its group."""
    oracle, parsed = read_parsed(parsed_file)
    ranks = np.array([oracle.rank[number] for number in range(len(oracle.rank))])
    base = int(np.flatnonzero(ranks == base_place)[0])
    canvas = parsed[base].coded_size[::-1]
    trace = Trace(ranks, base, canvas)
    after = {n: pixels for n, pixels in oracle.pictures.items() if ranks[n] > base_place}
    for number in sorted(after):
        picture = parsed[number]
        links = link_vectors(picture.vectors(), number, ranks, canvas)
        ours = trace.add(number, links, fallback=after[number].fallback, delta=picture.residual())
        moved, met, residual = follow_all(after, oracle.rank, base, number)
        assert np.array_equal(ours.met, met)
        np.testing.assert_allclose(ours.displacement, moved, atol=0 if base_place == 0 else 1e-4, rtol=0)
        assert np.array_equal(ours.luma, residual[0])
        assert np.array_equal(ours.chroma, residual[1] + 1j * residual[2])


def check_maps(interval: Interval, oracle: Oracle, order: list[int], keys: list[int], most: int = 100) -> None:
    """Hold the first `most` steps, in cells of 4 pixels, against ways that are followed pixel by pixel."""
    assert len(interval.frames) >= 8
    cell = 4
    # Without another reference after it, FFmpeg gives the last one of an MPEG stream no vectors.
    for k, frame in enumerate(interval.frames.tolist()[:most]):
        base = order[max(key for key in keys if key <= frame)]
        moved, met, _ = follow_all(oracle.pictures, oracle.rank, base, order[frame])
        width, height = SIZE
        moved, met = moved[:height, :width], met[:height, :width]
        assert np.allclose(interval.maps.past[k, 0], cell_mean(moved.real, met, cell), atol=1e-4)
        assert np.allclose(interval.maps.past[k, 1], cell_mean(moved.imag, met, cell), atol=1e-4)
        share = cell_mean(met.astype(float), np.ones_like(met), cell)
        assert np.allclose(interval.maps.past_valid[k], share, atol=1e-5)
        assert interval.maps.past_distance[k] == frame - oracle.rank[base]
        assert not interval.maps.future_valid[k].any()


def test_maps_are_means_of_what_was_traced_by_hand(parsed_file: Path) -> None:
    oracle, _ = read_parsed(parsed_file)
    video = Video(parsed_file)
    read = video.decompose(num_anchors=1, steps_per_interval=20, cell=4, backend="bitstream", accumulate=True)
    assert read.accumulated
    order = sorted(oracle.rank, key=lambda number: oracle.rank[number])
    check_maps(read.intervals[0], oracle, order, video.keyframes.tolist())


def read_exported(path: Path) -> tuple[Oracle, list[npt.NDArray[np.uint8]]]:
    """Paint the vectors that FFmpeg exports; B pictures look at the nearest others before and after."""
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        context.flags2 |= Flags2.export_mvs
        context.thread_count = 1
        kinds, vectors, lumas = [], [], []
        for frame in container.decode(video=0):
            data = frame.side_data.get("MOTION_VECTORS")
            vectors.append([] if data is None else [tuple(row) for row in data.to_ndarray()])
            kinds.append(PictureType(frame.pict_type).name)
            lumas.append(copy_planes(frame, VideoReformatter()).luma)
    pictures = {}
    for place, rows in enumerate(vectors):
        height, width = (-(-side // 16) * 16 for side in lumas[0].shape)
        dx, dy = np.zeros((height, width)), np.zeros((height, width))
        reference = np.full((height, width), NOBODY)
        past = max((p for p in range(place) if kinds[p] != "B"), default=NOBODY)
        future = min((p for p in range(place + 1, len(kinds)) if kinds[p] != "B"), default=NOBODY)
        for source, w, h, _, _, cx, cy, _, mx, my, scale in sorted(rows, key=lambda row: -row[0]):
            for y in range(max(cy - h // 2, 0), min(cy + h // 2, height)):
                for x in range(max(cx - w // 2, 0), min(cx + w // 2, width)):
                    dx[y, x], dy[y, x] = mx / scale, my / scale
                    reference[y, x] = past if source < 0 else future
        pictures[place] = Pixels(dx, dy, reference, past)
    return Oracle(pictures, {place: place for place in pictures}), lumas


@pytest.mark.parametrize(
    ("codec", "name", "options"),
    [
        ("mpeg4", "m.avi", {"g": "12"}),
        ("mpeg4", "q.mp4", {"g": "12", "flags": "+qpel", "mbd": "rd"}),
        ("mpeg2video", "b.mpg", {"g": "12", "bf": "2"}),
        ("libx264", "x.mp4", ONE_REFERENCE),
    ],
)
def test_exported_vectors_are_traced_as_by_hand(
    codec: str, name: str, options: dict[str, str], encode_clip: Encode
) -> None:
    path = encode_clip(name, clip(5, num_frames=14), codec=codec, options=options)
    video = Video(path)
    read = video.decompose(num_anchors=1, steps_per_interval=20, cell=4, backend="libav", accumulate=True)
    oracle, lumas = read_exported(path)
    check_maps(read.intervals[0], oracle, sorted(oracle.pictures), video.keyframes.tolist(), most=10)
    for k, frame in enumerate(read.intervals[0].frames.tolist()[:10]):
        moved, met, _ = follow_all(oracle.pictures, oracle.rank, 0, frame)
        left = picture_minus_traced(lumas[frame], lumas[0], moved[: SIZE[1], : SIZE[0]])
        mean = cell_mean(left, met[: SIZE[1], : SIZE[0]], 4)
        # Interpolated pixels are rounded to whole code values.
        assert np.allclose(read.intervals[0].maps.residual[k, 1], mean, atol=0.55)


def picture_minus_traced(
    picture: npt.NDArray[np.uint8], base: npt.NDArray[np.uint8], moved: npt.NDArray[np.complex128]
) -> npt.NDArray[np.float64]:
    """CoViAR's loader: what a picture holds, minus what the base holds at the place traced back to (here: bilinear)."""
    height, width = picture.shape
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            at_y, at_x = y - moved[y, x].imag, x - moved[y, x].real
            top, left = int(np.floor(at_y)), int(np.floor(at_x))
            found = 0.0
            for row, tall in ((top, top + 1 - at_y), (top + 1, at_y - top)):
                for column, wide in ((left, left + 1 - at_x), (left + 1, at_x - left)):
                    found += tall * wide * base[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
            result[y, x] = picture[y, x] - found
    return result


def test_flow_between_neighbours_is_composed(encode_clip: Encode, pan: Callable) -> None:
    """The proxy continues across keyframes, because it needs no vectors."""
    path = encode_clip("f.mp4", pan(8, SIZE, (2, 1)), options={"g": "4"})
    read = Video(path).decompose(num_anchors=1, steps_per_interval=20, cell=8, backend="proxy", accumulate=True)
    with av.open(str(path)) as container:
        planes = [copy_planes(frame, VideoReformatter()) for frame in container.decode(video=0)]
    width, height = SIZE
    pictures = {}
    for place in range(1, len(planes)):
        offset = flow.dense_offset(planes[place].luma, planes[place - 1].luma, 8).astype(np.float64)
        pictures[place] = Pixels(offset[..., 0], offset[..., 1], np.full((height, width), place - 1), place - 1)
    interval = read.intervals[0]
    assert interval.maps.past_distance.tolist() == interval.frames.tolist()
    for k, frame in enumerate(interval.frames.tolist()):
        moved, met, _ = follow_all(pictures, {place: place for place in range(8)}, 0, frame)
        assert met.all()
        # Single precision may put a source next to a pixel's border on its other side.
        assert np.allclose(interval.maps.past[k, 0], cell_mean(moved.real, met, 8), atol=0.02)
        assert np.allclose(interval.maps.past[k, 1], cell_mean(moved.imag, met, 8), atol=0.02)


@given(
    velocity=st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
    num_frames=st.integers(1, 6),
    unit=st.sampled_from([(1, 4), (4, 4), (1, 1)]),
)
def test_a_constant_shift_adds_up(velocity: tuple[int, int], num_frames: int, unit: tuple[int, int]) -> None:
    canvas = 16, 32
    shape = canvas[0] // unit[0], canvas[1] // unit[1]
    trace = Trace(np.arange(num_frames + 1), 0, canvas)
    one = np.ones(canvas, np.int32)
    for number in range(1, num_frames + 1):
        moves = (np.full(shape, -side, np.float32) for side in velocity)
        links = Links(*moves, np.full(shape, number - 1), unit)
        traced = trace.add(number, links, fallback=number - 1, delta=(one, 2 * one, 3 * one))
        assert (traced.displacement == number * complex(*velocity)).all()
        assert (traced.luma == number).all()
        assert (traced.chroma == number * (2 + 3j)).all()


@pytest.mark.parametrize("backend", ["bitstream", "libav", "proxy"])
def test_a_pan_moves_by_its_speed_times_the_time_since_the_anchor(backend: str, encode_clip: Encode) -> None:
    path = encode_clip("p.mp4", num_frames=16, options=ONE_REFERENCE | {"crf": "10"})
    read = Video(path).decompose(num_anchors=1, steps_per_interval=15, cell=8, backend=backend, accumulate=True)
    maps = read.intervals[0].maps
    for k, frame in enumerate(read.intervals[0].frames.tolist()):
        # What has come in from the left and the top since the anchor was not there to be traced.
        inside = maps.past[k][:, -(-frame // 8) + 1 : -1, -(-2 * frame // 8) + 1 : -1]
        error = np.abs(inside - np.array([2 * frame, frame])[:, None, None])
        assert np.median(error) < (0.01 if backend != "proxy" else 0.12 * frame)
        assert maps.past_distance[k] == frame


@pytest.mark.parametrize("backend", ["bitstream", "libav"])
def test_a_way_ends_at_the_last_keyframe(backend: str, encode_clip: Encode) -> None:
    path = encode_clip("k.mp4", options={"g": "10", "bf": "0", "x264-params": "scenecut=0"})
    read = Video(path).decompose(num_anchors=1, steps_per_interval=39, backend=backend, accumulate=True)
    interval = read.intervals[0]
    assert np.array_equal(interval.maps.past_distance, interval.frames % 10)
    assert any("keyframe" in note for note in read.notes)


@pytest.mark.parametrize("size", [(160, 96), (162, 98)])
@pytest.mark.parametrize("backend", ["bitstream", "libav", "proxy"])
def test_the_picture_after_an_anchor_has_the_maps_that_it_has_anyway(
    backend: str, size: tuple[int, int], encode_clip: Encode
) -> None:
    path = encode_clip("n.mp4", clip(7, size), options=ONE_REFERENCE, rotation=90)
    traced, plain = (
        Video(path).decompose(num_anchors=1, steps_per_interval=20, cell=8, backend=backend, accumulate=on)
        for on in (True, False)
    )
    assert (traced.accumulated, plain.accumulated) == (True, False)
    names = ["past", "past_valid", "past_distance", "covered"]
    # The engine spreads a transform block's energy evenly over the cells that cut it.
    names += ["residual"] if backend != "bitstream" or size[1] % 8 == 0 else []
    for name in names:
        one, other = (read.intervals[0].maps.__dict__[name][0] for read in (traced, plain))
        # What is traced is the inverse transform, rounded to whole code values.
        assert np.allclose(one, other, atol=0.5 if name == "residual" else 1e-4), name


def test_threads_change_nothing(encode_clip: Encode) -> None:
    path = encode_clip("t.mp4", num_frames=60, options={"g": "15", "bf": "2"})
    for backend in ("bitstream", "libav", "proxy"):
        one, many = (
            Video(path).decompose(num_anchors=4, steps_per_interval=6, backend=backend, accumulate=True, threads=count)
            for count in (1, 5)
        )
        for first, second in zip(one.intervals, many.intervals, strict=True):
            for name, array in first.maps.__dict__.items():
                assert np.array_equal(array, second.maps.__dict__[name]), (backend, name)


def test_as_many_pictures_are_held_as_others_build_upon(encode_clip: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode_clip("h.mp4", num_frames=40, options={"g": "40", "bf": "0", "x264-params": "ref=3"})
    most = 0
    add = Trace.add

    def watch(self: Trace, *arguments: object, **options: object) -> object:
        nonlocal most
        traced = add(self, *arguments, **options)  # type: ignore[arg-type]
        most = max(most, len(self))
        return traced

    monkeypatch.setattr(Trace, "add", watch)
    Video(path).decompose(num_anchors=1, backend="bitstream", accumulate=True)
    assert 1 <= most <= 4
