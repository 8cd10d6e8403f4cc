"""Whole files: rendered clips whose motion is known, every backend, odd files, bad arguments."""

import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from himmel.choices import Backend
from himmel.errors import UsageError, VideoError
from himmel.video import Timeline, Video
from himmel.video.describe import CameraMotion

Encode = Callable[..., Path]
Picture = npt.NDArray[np.uint8]
Pan = Callable[..., Iterator[Picture]]

WIDTH, HEIGHT = 320, 192


def texture(seed: int = 0, side: int = 900) -> Picture:
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.random((side, side, 3), np.float32), (0, 0), sigma) - 0.5 for sigma in (1.5, 5)]
    mixed = sum(layer / layer.std() for layer in layers)
    return np.clip(mixed * 28 + 128, 0, 255).astype(np.uint8)


TEXTURE = texture()


def shot(
    count: int, *, shift: complex = 0j, growth: float = 0.0, turn: float = 0.0, seed: int = 0
) -> Iterator[Picture]:
    """Pictures of a texture whose content moves by `shift` pixels, grows by e^growth and turns clockwise by `turn`
    degrees from each picture to the next, all about the middle."""
    whole = TEXTURE if seed == 0 else texture(seed)
    for k in range(count):
        scale, angle = np.exp(growth * k), np.radians(turn * k)
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        middle = whole.shape[1] / 2
        linear = np.array([[c, -s], [s, c]])
        at = np.array([WIDTH / 2 + shift.real * k, HEIGHT / 2 + shift.imag * k]) - linear @ np.array([middle, middle])
        matrix = np.column_stack((linear, at))
        yield cv2.warpAffine(whole, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def motion_of(timeline: Timeline, begin: float = 0.1, end: float = 99) -> CameraMotion:
    """Median over the pictures read in between."""
    samples = timeline.samples
    chosen = (samples.times > begin) & (samples.times < end) & ~np.isnan(samples.motion).any(axis=1)
    return CameraMotion(*np.median(samples.motion[chosen], axis=0))


BACKENDS: tuple[Backend, ...] = ("bitstream", "libav", "proxy")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("content", "name", "value"),
    [
        ({"shift": -3 + 0j}, "pan", 100 * 3 * 25 / WIDTH),
        ({"shift": 2 + 0j}, "pan", -100 * 2 * 25 / WIDTH),
        ({"shift": 2j}, "tilt", 100 * 2 * 25 / HEIGHT),
        ({"shift": -1j}, "tilt", -100 * 25 / HEIGHT),
        ({"growth": 0.01}, "zoom", 25.0),
        ({"growth": -0.006}, "zoom", -15.0),
        ({"turn": 1.0}, "roll", -25.0),
        ({"turn": -0.5}, "roll", 12.5),
    ],
)
def test_camera_motion_of_a_rendered_clip(
    backend: Backend, content: dict[str, float], name: str, value: float, encode_clip: Encode
) -> None:
    video = Video(encode_clip("a.mp4", shot(40, **content), options={"preset": "fast"}))  # type: ignore[arg-type]
    timeline = video.describe(backend=backend)
    assert timeline.backend == backend
    found = motion_of(timeline)
    for other in ("pan", "tilt", "zoom", "roll"):
        wanted = value if other == name else 0.0
        # x264 takes its neighbours' vectors where they are nearly right, which leaves them a little behind.
        assert getattr(found, other) == pytest.approx(wanted, abs=1.0 + 0.04 * abs(value)), other
    assert not timeline.cuts
    assert not timeline.regions


@pytest.mark.parametrize("backend", BACKENDS)
def test_in_a_still_clip_nothing_moves(backend: Backend, encode_clip: Encode) -> None:
    rng = np.random.default_rng(0)
    noisy = (np.clip(p + rng.normal(0, 2, p.shape), 0, 255).astype(np.uint8) for p in shot(50))
    timeline = Video(encode_clip("a.mp4", noisy)).describe(backend=backend)
    assert timeline.sentences() == ["0.0-2.0 s: nothing moves."]


def test_a_camera_that_stops_and_a_cut_have_their_times(encode_clip: Encode) -> None:
    moving = list(shot(50, shift=-3 + 0j))
    pictures = chain(moving, [moving[-1]] * 25, shot(40, shift=2j, seed=5))
    timeline = Video(encode_clip("a.mp4", pictures)).describe()
    assert [cut.time for cut in timeline.cuts] == [3.0]
    assert [segment.start for segment in timeline.camera] == pytest.approx([0, 2, 3], abs=0.15)
    lines = timeline.sentences()
    assert lines[0] == "Cut to another scene at 3.0 s."
    assert "the camera pans right by" in lines[1]
    assert "nothing moves" in lines[2]
    assert "the camera tilts up by" in lines[3]


@pytest.mark.parametrize(
    ("options", "reason"), [({"g": "250"}, "keyframe"), ({"g": "20", "sc_threshold": "0"}, "intra")]
)
def test_every_cut_is_found_and_nothing_else(options: dict[str, str], reason: str, encode_clip: Encode) -> None:
    scenes = [shot(length, shift=complex(1 + k % 3, k % 2), seed=k + 1) for k, length in enumerate((34, 31, 46, 33))]
    timeline = Video(encode_clip("a.mp4", chain(*scenes), options=options)).describe()
    assert [(round(25 * cut.time), cut.reason) for cut in timeline.cuts] == [(k, reason) for k in (34, 65, 111)]


def test_a_group_as_long_as_encoders_make_them_does_not_end_with_a_cut(encode_clip: Encode) -> None:
    """One whole group and a part of another: that nothing forced the second keyframe cannot be told from its place."""
    path = encode_clip("a.mp4", shot(80, shift=1 + 0j), options={"g": "50", "sc_threshold": "0"})
    assert Video(path).keyframes.tolist() == [0, 50]
    assert Video(path).describe().cuts == ()


def with_disc(pictures: Iterator[Picture], start: complex, step: complex, times: range) -> Iterator[Picture]:
    """A textured disc that moves by `step` pixels at each of `times`, and is there in all pictures."""
    patch = 255 - texture(9, 60)
    mask = np.hypot(*(np.mgrid[-29.5:30, -29.5:30]))[..., None] < 28
    at = start
    for k, picture in enumerate(pictures):
        at += step if k in times else 0
        x, y = round(at.real) - 30, round(at.imag) - 30
        drawn = picture.copy()
        drawn[y : y + 60, x : x + 60] = np.where(mask, patch, drawn[y : y + 60, x : x + 60])
        yield drawn


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_disc_that_moves_for_a_second(backend: Backend, encode_clip: Encode) -> None:
    pictures = with_disc(shot(60), 60 + 100j, 5 + 0j, range(20, 45))
    timeline = Video(encode_clip("a.mp4", pictures)).describe(backend=backend)
    (region,) = timeline.regions
    assert region.direction == "right"
    assert (region.start, region.end) == pytest.approx((0.8, 1.8), abs=0.25)
    assert region.dx == pytest.approx(100 * 5 * 25 / WIDTH, rel=0.4)
    assert abs(region.dy) < 3
    # 28 pixels about its middle.
    assert region.first_box.centre == pytest.approx((100 * 70 / WIDTH, 100 * 100 / HEIGHT), abs=12)
    assert region.last_box.centre[0] == pytest.approx(100 * 180 / WIDTH, abs=12)
    assert "something from the middle left to the middle" in " ".join(timeline.sentences())


def test_the_cameras_motion_is_taken_off_a_region(encode_clip: Encode) -> None:
    """The camera pans right; the disc goes right as fast, so that it stays where it is in the picture."""
    pictures = with_disc(shot(50, shift=-4 + 0j), 160 + 96j, 0j, range(0))
    timeline = Video(encode_clip("a.mp4", pictures)).describe()
    assert motion_of(timeline).pan == pytest.approx(100 * 4 * 25 / WIDTH, rel=0.05)
    (region,) = timeline.regions
    assert region.direction == "right"
    assert region.dx == pytest.approx(100 * 4 * 25 / WIDTH, rel=0.15)
    assert region.first_box.centre == pytest.approx((50, 50), abs=8)
    assert region.last_box.centre == pytest.approx((50, 50), abs=8)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_directions_are_those_of_the_displayed_picture(rotation: int, encode_clip: Encode) -> None:
    """Players turn the picture counterclockwise by so much: stored content that goes left goes down, right, up then."""
    stored = encode_clip("a.mp4", shot(40, shift=-3 + 0j), rotation=rotation)
    video = Video(stored)
    found = motion_of(video.describe())
    # In pixels a second, right and down, of the content.
    content = complex(-found.pan * video.width, found.tilt * video.height) / 100
    # Counterclockwise on the screen, where y points down.
    expected = -75 * np.exp(-1j * np.radians(rotation))
    assert content == pytest.approx(expected, abs=3)


def test_seconds_are_the_files_own_where_pictures_come_irregularly(encode_clip: Encode) -> None:
    """3 pixels in each 1/10 s at first, in each 1/50 s later: per second that is five times as fast."""
    gaps = np.array([100] * 30 + [20] * 60)
    pts = np.concatenate(([0], np.cumsum(gaps)))[:-1].tolist()
    path = encode_clip("a.mp4", shot(90, shift=-3 + 0j), pts=pts, time_base=Fraction(1, 1000), options={"bf": "2"})
    timeline = Video(path).describe(pictures_per_second=20)
    assert motion_of(timeline, 0.2, 2.8).pan == pytest.approx(100 * 30 / WIDTH, rel=0.05)
    assert motion_of(timeline, 3.2, 4.1).pan == pytest.approx(100 * 150 / WIDTH, rel=0.05)


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video", "libx265"])
def test_other_codecs(codec: str, encode_clip: Encode) -> None:
    name = "a.mkv" if codec == "mpeg2video" else "a.mp4"
    timeline = Video(encode_clip(name, shot(40, shift=-3 + 0j), codec=codec)).describe()
    assert timeline.backend == ("proxy" if codec == "libx265" else "libav")
    assert motion_of(timeline).pan == pytest.approx(100 * 75 / WIDTH, rel=0.1)


def test_accumulated_vectors_give_the_mean_since_the_keyframe(encode_clip: Encode) -> None:
    timeline = Video(encode_clip("a.mp4", shot(30, shift=-3 + 0j))).describe(backend="coviar")
    assert timeline.backend == "coviar"
    assert motion_of(timeline).pan == pytest.approx(100 * 75 / WIDTH, rel=0.1)


def test_any_number_of_threads_gives_the_same(encode_clip: Encode) -> None:
    path = encode_clip("a.mp4", with_disc(shot(120, shift=1 + 1j), 60 + 96j, 1.5 + 0j, range(120)), options={"g": "12"})
    one, many = (Video(path).describe(threads=threads, pictures_per_second=25) for threads in (1, 4))
    assert one.to_dict() | {"seconds": 0} == many.to_dict() | {"seconds": 0}
    assert np.array_equal(one.samples.motion, many.samples.motion, equal_nan=True)


def test_memory_and_pictures_are_bounded(encode_clip: Encode) -> None:
    path = encode_clip("a.mp4", num_frames=200, size=(320, 192), options={"g": "50"})
    timeline = Video(path).describe(max_pictures=12)
    assert timeline.num_read == 12
    assert any("only 1.5 pictures a second were read" in note for note in timeline.notes)
    video = Video(path)
    video.describe(max_pictures=10, threads=1)
    peaks = []
    for most in (20, 180):
        tracemalloc.start()
        video.describe(max_pictures=most, pictures_per_second=25, threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Maps of one picture take 50 kB; 160 more pictures leave a few numbers each.
    assert peaks[1] - peaks[0] < 1e6


def test_short_videos(encode_clip: Encode) -> None:
    single = Video(encode_clip("one.mp4", num_frames=1)).describe()
    assert (single.num_read, len(single.camera), single.camera[0].motion) == (0, 1, None)
    assert single.text()
    two = Video(encode_clip("two.mp4", shot(2, shift=-3 + 0j))).describe()
    assert two.num_read == 1
    assert motion_of(two, 0).pan == pytest.approx(100 * 75 / WIDTH, rel=0.1)


@pytest.mark.parametrize("size", [(16, 16), (24, 200), (64, 64)])
def test_tiny_pictures(size: tuple[int, int], encode_clip: Encode) -> None:
    """2 pixels to the right in each of 25 pictures a second; one cell for all of it tells nothing."""
    video = Video(encode_clip("a.mp4", num_frames=20, size=size))
    assert motion_of(video.describe()).pan == pytest.approx(-100 * 50 / size[0], rel=0.05)
    if max(size) <= 64:
        assert video.describe(cell=64).sentences() == ["0.0-0.8 s: how the camera moves cannot be told."]


def test_a_file_of_keyframes_alone_is_read_by_optical_flow(encode_clip: Encode) -> None:
    timeline = Video(encode_clip("a.mp4", shot(20, shift=-3 + 0j), options={"g": "1"})).describe()
    assert timeline.backend == "proxy"
    assert "every picture is a keyframe" in timeline.backend_reason
    assert motion_of(timeline).pan == pytest.approx(100 * 75 / WIDTH, rel=0.1)


def test_a_damaged_file_says_so(encode_clip: Encode) -> None:
    path = encode_clip("a.mp4", shot(60, shift=-3 + 0j), options={"g": "12"})
    data = bytearray(path.read_bytes())
    begin, end = round(0.3 * len(data)), round(0.6 * len(data))
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    timeline = Video(path).describe(pictures_per_second=25)
    assert any("are damaged or missing" in note for note in timeline.notes)
    assert motion_of(timeline).pan == pytest.approx(100 * 75 / WIDTH, rel=0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pictures_per_second": 0}, "pictures_per_second=0 is out of range"),
        ({"pictures_per_second": float("nan")}, "pictures_per_second=nan is out of range"),
        ({"pictures_per_second": "many"}, "pictures_per_second='many' is out of range"),
        ({"max_pictures": 0}, "max_pictures=0 is out of range"),
        ({"cell": 5}, "cell=5 does not exist"),
        ({"backend": "magic"}, "backend='magic' does not exist"),
        ({"threads": 0}, "threads=0 is out of range"),
    ],
)
def test_bad_arguments(options: dict[str, object], said: str, encode_clip: Encode) -> None:
    with pytest.raises(UsageError, match=said):
        Video(encode_clip("a.mp4", num_frames=3)).describe(**options)  # type: ignore[arg-type]


def test_a_backend_that_cannot_read_the_file_says_why(encode_clip: Encode) -> None:
    with pytest.raises(VideoError, match="cannot be read by backend 'bitstream'"):
        Video(encode_clip("a.mp4", num_frames=5, codec="mpeg4")).describe(backend="bitstream")
