"""Every picture one by one: held against `decompose`, against PyAV's own decoding, and in memory."""

import tracemalloc
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.codec.context import Flags2
from av.video.frame import PictureType

from himmel import choices
from himmel.errors import UsageError, VideoError
from himmel.video import VECTOR, Picture, StepMaps, Video, full_rate

Encode = Callable[..., Path]

PYRAMID = {"g": "20", "bf": "3", "x264-params": "b-pyramid=normal:ref=3"}
WHOLE_BLOCKS = {"g": "40", "bf": "0", "x264-params": "ref=1:weightp=0:partitions=none:no-8x8dct=1:scenecut=0"}
MAPS = tuple(item.name for item in fields(StepMaps))
FIELDS = ("source", "w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale")


def exported(path: Path) -> list[tuple[str, npt.NDArray[np.void]]]:
    """Type and FFmpeg's vectors of each picture by plain decoding on one thread, in presentation order."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.flags2 |= Flags2.export_mvs
        for frame in container.decode(stream):
            data = frame.side_data.get("MOTION_VECTORS")
            nothing = np.zeros(0, [(name, "i4") for name in FIELDS])
            vectors = nothing if data is None else data.to_ndarray().copy()
            found.append((PictureType(frame.pict_type).name, vectors))
            del frame, data
    return found


def as_shown(vectors: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """FFmpeg's records as rows x0, y0, x1, y1, dx, dy, direction, with motion forward in time."""
    w, h = vectors["w"].astype(int), vectors["h"].astype(int)
    x0, y0 = vectors["dst_x"] - w // 2, vectors["dst_y"] - h // 2
    direction = np.where(vectors["source"] < 0, -1, 1)
    scale = direction / np.maximum(vectors["motion_scale"], 1)
    return np.stack(
        (x0, y0, x0 + w, y0 + h, scale * vectors["motion_x"], scale * vectors["motion_y"], direction), axis=1
    )


def rows(vectors: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    return np.stack([vectors[name].astype(float) for name in ("x0", "y0", "x1", "y1", "dx", "dy", "direction")], axis=1)


def in_pairs(items: list) -> list[tuple]:
    """Pairs of neighbours, each item once."""
    return list(zip(items[::2], items[1::2], strict=True))


def ordered(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return table[np.lexsort(table.T)]


@pytest.mark.parametrize(
    ("name", "options", "backend"),
    [
        ("a.mp4", {"options": PYRAMID}, "bitstream"),
        ("a.mkv", {"options": {**PYRAMID, "x264-params": "open-gop=1:bframes=3:keyint=12"}}, "bitstream"),
        ("a.mp4", {"options": PYRAMID}, "libav"),
        ("a.mpg", {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}}, "libav"),
        ("a.mp4", {"options": PYRAMID, "rotation": 90}, "proxy"),
    ],
)
@pytest.mark.parametrize("piece", [4096, 7])
def test_maps_are_those_of_a_decomposition_into_every_picture(
    name: str, options: dict, backend: choices.Backend, piece: int, encode_clip: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_rate, "_PIECE", piece)
    path = encode_clip(name, size=(150, 98), num_frames=50, **options)
    video = Video(path)
    interval = video.decompose(num_anchors=1, steps_per_interval=49, backend=backend, cell=8).intervals[0]
    read = video.pictures(backend=backend, cell=8)
    assert read.backend == backend
    pictures = list(read)
    assert [picture.frame for picture in pictures] == list(range(50))
    assert [picture.time for picture in pictures] == video.times.tolist()
    assert [picture.frame for picture in pictures if picture.keyframe] == video.keyframes.tolist()
    for frame, k in zip(interval.frames.tolist(), range(len(interval.frames)), strict=True):
        for field in MAPS:
            assert np.array_equal(getattr(pictures[frame], field), getattr(interval.maps, field)[k]), (frame, field)


@pytest.mark.parametrize("backend", ["bitstream", "libav", "proxy"])
def test_types_and_bits_are_the_streams_own(backend: choices.Backend, encode_clip: Encode) -> None:
    path = encode_clip("t.mkv", num_frames=30, options=PYRAMID)
    with av.open(str(path)) as container:
        packets = sorted((packet.pts, packet.size) for packet in container.demux(video=0) if packet.size)
    pictures = list(Video(path).pictures(backend=backend))
    assert [picture.type for picture in pictures] == [kind for kind, _ in exported(path)]
    assert [picture.bits for picture in pictures] == [8 * size for _, size in packets]


def test_the_quantiser_is_the_encoders(encode_clip: Encode) -> None:
    video = Video(encode_clip("q.mp4", options={"g": "50", "x264-params": "qp=31:ipratio=1.0:bframes=0"}))
    assert {round(picture.quantiser, 3) for picture in video.pictures()} == {31.0}
    assert all(np.isnan(picture.quantiser) for picture in video.pictures(backend="libav"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("p.mp4", {"options": PYRAMID}),
        ("m.mpg", {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}}),
        ("m.mp4", {"codec": "mpeg4", "options": {"g": "12", "bf": "0", "flags": "+mv4"}}),
    ],
)
def test_libav_lists_what_ffmpeg_exports(name: str, options: dict, encode_clip: Encode) -> None:
    path = encode_clip(name, num_frames=30, **options)
    expected = exported(path)
    pictures = list(Video(path).vectors(backend="libav"))
    assert [picture.frame for picture in pictures] == list(range(30))
    assert sum(len(picture.vectors) for picture in pictures) > 500
    for picture, (kind, theirs) in zip(pictures, expected, strict=True):
        assert picture.vectors.dtype == VECTOR
        # MPEG decoders give their newest reference without its vectors when they are drained.
        if len(theirs) or kind == "I" or picture.frame < 27:
            np.testing.assert_array_equal(rows(picture.vectors), as_shown(theirs))


def test_bitstream_lists_the_same_where_ffmpeg_leaves_nothing_out(encode_clip: Encode, pan: Callable) -> None:
    path = encode_clip("w.mp4", pan(30, (160, 128), (4, 2)), options=WHOLE_BLOCKS)
    for picture, (_, theirs) in zip(Video(path).vectors(backend="bitstream"), exported(path), strict=True):
        np.testing.assert_array_equal(ordered(rows(picture.vectors)), ordered(as_shown(theirs)))
        assert (picture.vectors["reference"] == picture.frame - 1).all()
        assert (picture.vectors["distance"] == 1).all()
        assert not picture.vectors["field"].any()


@pytest.mark.parametrize("backend", ["bitstream", "libav"])
def test_references_lie_on_the_side_and_as_far_as_is_said(backend: choices.Backend, encode_clip: Encode) -> None:
    sides = set()
    for picture in Video(encode_clip("r.mp4", num_frames=40, options=PYRAMID)).vectors(backend=backend):
        known = picture.vectors[picture.vectors["reference"] >= 0]
        away = known["reference"] - picture.frame
        assert np.array_equal(np.sign(away), known["direction"])
        assert np.array_equal(np.abs(away), known["distance"])
        sides |= set(known["direction"].tolist())
    assert sides == {-1, 1}


@pytest.mark.parametrize(("rotation", "velocity"), [(0, (4, 2)), (90, (2, -4)), (180, (-4, -2)), (270, (-2, 4))])
def test_vectors_are_turned_as_the_picture_is(
    rotation: int, velocity: tuple[int, int], encode_clip: Encode, pan: Callable
) -> None:
    path = encode_clip("t.mp4", pan(12, (160, 96), (4, 2)), rotation=rotation, options=WHOLE_BLOCKS)
    video = Video(path)
    *_, last = video.vectors()
    assert (np.median(last.vectors["dx"]), np.median(last.vectors["dy"])) == pytest.approx(velocity, abs=0.3)
    assert (last.vectors["x1"].max(), last.vectors["y1"].max()) == (video.width, video.height)
    assert (last.vectors["x1"] > last.vectors["x0"]).all()
    assert (last.vectors["y1"] > last.vectors["y0"]).all()


def test_fields_are_told_and_measured_in_lines_of_the_frame(encode_clip: Encode, pan: Callable) -> None:
    moments = list(pan(40, (160, 128), (2, 4)))
    frames = [np.where(np.arange(128)[:, None, None] % 2, late, early) for early, late in in_pairs(moments)]
    path = encode_clip("i.mp4", frames, options={"x264-params": "interlaced=1:bframes=0:qp=20"})
    vectors = np.concatenate([picture.vectors for picture in Video(path).vectors()])
    of_fields = vectors[vectors["field"] > 0]
    assert len(of_fields) > 100
    assert np.median(of_fields["dy"] / of_fields["distance"]) == pytest.approx(8, abs=0.5)
    assert set((of_fields["y1"] - of_fields["y0"]).tolist()) <= {7, 15, 31}


def test_a_stretch_is_the_same_as_in_the_whole(encode_clip: Encode) -> None:
    video = Video(encode_clip("s.mp4", num_frames=60, options=PYRAMID))
    for backend in ("bitstream", "libav", "proxy"):
        whole = list(video.pictures(backend=backend))
        part = video.pictures(start=23, stop=41, backend=backend)
        for _ in range(2):
            again = list(part)
            assert [picture.frame for picture in again] == list(range(23, 41))
            for picture, known in zip(again, whole[23:41], strict=True):
                assert all(np.array_equal(getattr(picture, name), getattr(known, name)) for name in MAPS)
    assert list(video.pictures(start=60)) == []


def test_coviar_goes_back_to_the_keyframe_of_each_group(encode_clip: Encode) -> None:
    video = Video(encode_clip("c.mp4", num_frames=30))
    pictures = list(video.pictures(backend="coviar"))
    assert [picture.past_distance for picture in pictures] == [k % 12 for k in range(30)]
    speeds = [picture.past[0, 2:-2, 2:-2].mean() / picture.past_distance for picture in pictures if picture.frame % 12]
    assert np.median(speeds) == pytest.approx(2, abs=0.2)
    counts = [len(picture.vectors) for picture in video.vectors(backend="coviar")]
    assert [count == 0 for count in counts] == [k % 12 == 0 for k in range(30)]


def test_b_pictures_of_mpeg4_have_no_vectors(encode_clip: Encode) -> None:
    video = Video(encode_clip("b.avi", codec="mpeg4", num_frames=20, options={"g": "20", "bf": "2"}))
    with pytest.raises(VideoError, match="vectors of B pictures as zeros"):
        video.vectors()
    by_type = {"P": 0, "B": 0, "I": 0}
    for picture in video.vectors(backend="libav"):
        by_type[picture.type] += len(picture.vectors)
    assert by_type["P"] > 100
    assert by_type["B"] == by_type["I"] == 0


@pytest.mark.parametrize("backend", ["auto", "proxy"])
def test_files_without_vectors_are_told_so(backend: choices.Backend, encode_clip: Encode) -> None:
    video = Video(encode_clip("v.webm", codec="libvpx", num_frames=10))
    with pytest.raises(VideoError, match=r"has no vectors to list .* read maps"):
        video.vectors(backend=backend)
    assert len(list(video.pictures(backend=backend))) == 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"start": -1}, "it has 5"),
        ({"stop": 6}, "it has 5"),
        ({"start": 3, "stop": 2}, "it has 5"),
        ({"start": 0.5}, "start=0.5 is no whole number"),
        ({"backend": "magic"}, "backend='magic' does not exist"),
        ({"cell": 5}, "cell=5 does not exist"),
        ({"cell": np.float64(np.nan)}, "cell=.*nan.* does not exist"),
    ],
)
def test_arguments_out_of_range(arguments: dict, said: str, encode_clip: Encode) -> None:
    with pytest.raises(UsageError, match=said):
        Video(encode_clip("a.mp4", num_frames=5)).pictures(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["bitstream", "libav", "proxy"])
def test_memory_does_not_grow_with_the_number_of_pictures(
    backend: choices.Backend, encode_clip: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy's arrays are traced: some pictures are held at a time, whatever their number."""
    monkeypatch.setattr(full_rate, "_PIECE", 40)
    video = Video(encode_clip("m.mp4", num_frames=400, size=(160, 96), options={"g": "20", "bf": "2"}))

    def peak(stop: int) -> int:
        tracemalloc.start()
        for _ in video.pictures(stop=stop, cell=4, backend=backend):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = peak(60), peak(400)
    one = sum(getattr(next(iter(video.pictures(cell=4))), name).nbytes for name in ("past", "future", "residual"))
    assert many < few + 5 * one


def test_a_picture_prints_shapes(encode_clip: Encode) -> None:
    first = next(iter(Video(encode_clip("p.mp4", num_frames=3)).pictures()))
    assert isinstance(first, Picture)
    assert "past=float32[2, 16, 20]" in repr(first)


def test_a_cell_counts_by_its_value(encode_clip: Encode) -> None:
    """8.0 equals 8, and NumPy's integers are numbers too."""
    video = Video(encode_clip("c.mp4", num_frames=3))
    for cell in (8.0, np.int64(8)):
        assert next(iter(video.pictures(cell=cell))).covered.shape == (16, 20)  # type: ignore[arg-type]
