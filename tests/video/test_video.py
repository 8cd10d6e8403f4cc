"""What `Video` reads of a file without decoding it: times, keyframes, size, rotation, order."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from himmel.errors import UsageError
from himmel.video import Video

Encode = Callable[..., Path]

PYRAMID = {"g": "20", "bf": "3", "x264-params": "b-pyramid=normal"}
OPEN_GOP = {"g": "15", "bf": "3", "x264-params": "b-pyramid=normal:open-gop=1"}
FILES = [
    ("a.mp4", {"options": PYRAMID}),
    ("open.mp4", {"options": OPEN_GOP}),
    ("a.mkv", {"options": OPEN_GOP}),
    ("a.ts", {"options": OPEN_GOP}),
    ("a.flv", {"options": PYRAMID}),
    ("a.avi", {"options": PYRAMID}),
    ("a.264", {"options": PYRAMID, "container_format": "h264"}),
    ("mpeg2.mpg", {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}}),
    ("mpeg2.ts", {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}}),
    ("mpeg4.avi", {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}}),
    ("mpeg4.mp4", {"codec": "mpeg4", "options": {"g": "12"}}),
    ("flv1.flv", {"codec": "flv", "options": {"g": "12"}}),
    ("hevc.mp4", {"codec": "libx265", "options": {"x265-params": "keyint=15:log-level=error"}}),
    ("vp8.webm", {"codec": "libvpx", "options": {"g": "15", "auto-alt-ref": "1", "lag-in-frames": "10"}}),
    ("vp9.webm", {"codec": "libvpx-vp9", "options": {"g": "15", "cpu-used": "8"}}),
]


def decode_all(path: Path) -> tuple[list[np.ndarray], list[float | None]]:
    """Plain decoding from the start: the oracle for order, times and pixels."""
    pictures, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            pictures.append(frame.to_ndarray(format="rgb24"))
            times.append(frame.time)
    return pictures, times


@pytest.mark.parametrize(("name", "how"), FILES, ids=[name for name, _ in FILES])
def test_pictures_found_by_seeking_are_those_of_plain_decoding(name: str, how: dict, encode_clip: Encode) -> None:
    path = encode_clip(name, num_frames=64, size=(96, 64), **how)
    pictures, times = decode_all(path)
    video = Video(path)
    assert video.num_frames == len(pictures) == 64
    assert np.allclose(np.diff(video.times), 1 / 25, atol=2e-3)
    assert video.duration == pytest.approx(64 / 25, abs=2e-3)
    assert video.average_rate == pytest.approx(25, rel=1e-2)
    # AVI and raw streams have no times of presentation to compare with.
    if name not in ("a.avi", "a.264"):
        assert np.allclose(video.times, np.array(times) - times[0], atol=1e-9)
    for mode in ("exact", "keyframe"):
        for anchor in video.decompose(num_anchors=7, anchor_mode=mode, steps_per_interval=1).anchors:
            assert np.array_equal(anchor.image, pictures[anchor.frame]), anchor
            assert anchor.time == video.times[anchor.frame]


@pytest.mark.parametrize("name", ["open.mp4", "a.mkv", "a.ts"])
def test_keyframe_index_is_what_the_decoder_calls_keyframes(name: str, encode_clip: Encode) -> None:
    path = encode_clip(name, num_frames=64, size=(96, 64), options=OPEN_GOP)
    with av.open(str(path)) as container:
        keys = [k for k, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert Video(path).keyframes.tolist() == keys
    assert len(keys) >= 4


def test_variable_frame_rate_keeps_real_times(encode_clip: Encode) -> None:
    stamps = [k * k for k in range(40)]
    video = Video(encode_clip("v.mp4", pts=stamps, time_base=Fraction(1, 1000)))
    assert np.allclose(video.times, np.array(stamps) / 1000)
    decomposition = video.decompose(num_anchors=4, anchor_mode="exact", steps_per_interval=3)
    wanted = np.arange(4) * video.duration / 4
    for anchor, target in zip(decomposition.anchors, wanted, strict=True):
        assert abs(anchor.time - target) == np.abs(video.times - target).min()


def test_times_start_at_the_first_shown_picture(encode_clip: Encode) -> None:
    video = Video(encode_clip("late.ts", shift=1000))
    assert video.start == pytest.approx(1000 / 25, abs=0.2)
    assert video.times[0] == 0
    assert np.allclose(np.diff(video.times), 1 / 25)


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_rotation_is_what_players_do(rotation: int, encode_clip: Encode) -> None:
    path = encode_clip("r.mp4", rotation=rotation, size=(160, 96))
    video = Video(path)
    ok, expected = cv2.VideoCapture(str(path)).read()
    assert ok
    anchor = video.decompose(num_anchors=1).anchors[0]
    assert (video.height, video.width) == expected.shape[:2]
    assert np.abs(anchor.image[:, :, ::-1].astype(int) - expected).max() <= 2
    assert video.rotation == -rotation % 360
    assert (video.coded_width, video.coded_height) == (160, 96)


def test_pictures_that_an_edit_list_hides_are_left_out(encode_clip: Encode) -> None:
    path = encode_clip("e.mp4", shift=-9, container_options={"avoid_negative_ts": "disabled"})
    pictures, _ = decode_all(path)
    video = Video(path)
    assert video.num_frames == len(pictures) == 31
    assert len(video.keyframes) == 0
    assert video.times[0] == 0
    decomposition = video.decompose(num_anchors=3)
    for anchor in decomposition.anchors:
        assert np.array_equal(anchor.image, pictures[anchor.frame])
    # Hidden pictures still serve as references.
    assert all(np.median(interval.maps.residual[:, 0]) < 1 for interval in decomposition.intervals)


def test_vectors_of_a_cropped_stream_are_shifted_by_the_window(encode_clip: Encode) -> None:
    plain = encode_clip("plain.mp4")
    cropped = encode_clip("crop.mp4", options={"x264-params": "crop-rect=8,4,8,12"})
    video = Video(cropped)
    assert (video.width, video.height) == (160 - 16, 128 - 16)
    assert (video.coded_width, video.coded_height) == (160, 128)
    whole, part = (Video(p).decompose(num_anchors=1, cell=4).intervals[0].maps for p in (plain, cropped))
    for name in ("past", "future", "past_valid", "future_valid", "covered"):
        assert np.array_equal(getattr(part, name), getattr(whole, name)[..., 1:-3, 2:-2]), name
    assert np.array_equal(part.past_distance, whole.past_distance)


def test_a_window_that_starts_anywhere_is_shown_exactly(encode_clip: Encode) -> None:
    whole = Video(encode_clip("plain.mp4", num_frames=3)).decompose(num_anchors=3)
    cropped = Video(encode_clip("crop.mp4", num_frames=3, options={"x264-params": "crop-rect=6,2,10,4"}))
    for anchor, full in zip(cropped.decompose(num_anchors=3).anchors, whole.anchors, strict=True):
        inner = full.image[2:-4, 6:-10].astype(int)
        assert anchor.image.shape == inner.shape
        # Chroma is interpolated a little differently at the border.
        assert np.abs(anchor.image - inner)[:, 2:-2].max() <= 3


def test_ten_bits_and_full_chroma_work(encode_clip: Encode) -> None:
    for name, pix_fmt in (("10.mp4", "yuv420p10le"), ("422.mp4", "yuv422p"), ("444.mp4", "yuv444p")):
        video = Video(encode_clip(name, pix_fmt=pix_fmt))
        maps = video.decompose(num_anchors=1).intervals[0].maps
        assert maps.covered.mean() > 0.9
        assert maps.residual[:, 0].mean() < 4


def test_sha256_is_that_of_the_bytes_and_lazy(encode_clip: Encode) -> None:
    import hashlib

    path = encode_clip("h.mp4", num_frames=4)
    video = Video(path)
    assert video.decompose(num_anchors=1).sha256 is None
    assert video.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert video.decompose(num_anchors=1).sha256 == video.sha256


def test_anchors_shrink_to_a_bound(encode_clip: Encode) -> None:
    video = Video(encode_clip("s.mp4", num_frames=6, rotation=90))
    image = video.decompose(num_anchors=1, max_anchor_pixels=5000).anchors[0].image
    assert 4000 < image.shape[0] * image.shape[1] <= 5000
    assert image.shape[0] > image.shape[1]


def test_a_name_that_looks_like_a_protocol_is_a_file(encode_clip: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode_clip("plain.mp4", num_frames=4)
    odd = path.rename(path.with_name("concat:a|b.mp4"))
    monkeypatch.chdir(path.parent)
    assert Video(odd.name).num_frames == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_anchors": 0},
        {"num_anchors": 2.5},
        {"num_anchors": True},
        {"steps_per_interval": 0},
        {"anchor_mode": "random"},
        {"cell": 12},
        {"backend": "ffmpeg"},
        {"threads": 0},
        {"max_anchor_pixels": 0},
    ],
)
def test_arguments_outside_their_range_are_one_sentence(wrong: dict, encode_clip: Encode) -> None:
    video = Video(encode_clip("w.mp4", num_frames=2))
    with pytest.raises(UsageError) as caught:
        video.decompose(**wrong)
    assert next(iter(wrong)) in str(caught.value)
    assert repr(next(iter(wrong.values()))) in str(caught.value)


def test_results_print_shapes(encode_clip: Encode) -> None:
    decomposition = Video(encode_clip("p.mp4")).decompose(num_anchors=2, steps_per_interval=3)
    shown = repr(decomposition) + repr(decomposition.anchors[0]) + repr(decomposition.intervals[0])
    assert "uint8[128, 160, 3]" in shown
    assert "past=float32[3, 2, 16, 20]" in shown
    assert "<2 x Anchor>" in shown
    assert len(shown) < 1500


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mp4"])
@pytest.mark.parametrize("mode", ["exact", "scene"])
def test_an_hours_gap_in_times_does_not_bunch_anchors(suffix: str, mode: str, encode_clip: Encode) -> None:
    """Times stay the file's own."""
    pts = [40 * k + 3_600_000 * (k >= 50) for k in range(100)]
    video = Video(encode_clip(f"a.{suffix}", num_frames=100, pts=pts, rate=1000, options={"g": "25", "bf": "0"}))
    np.testing.assert_allclose(video.times, np.array(pts) / 1000, atol=1e-3)
    read = video.decompose(anchor_mode=mode, steps_per_interval=4)
    assert np.diff([anchor.frame for anchor in read.anchors]).min() > 5
    assert [anchor.time for anchor in read.anchors] == [video.times[anchor.frame] for anchor in read.anchors]
    for interval in read.intervals:
        assert len(interval.frames) < 2 or np.diff(interval.frames).max() < 8
    assert [note for note in read.notes if "3600 s" in note]
