import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.frame import PictureType

from himmel.errors import VideoError
from himmel.evaluation.recoding import Coding, motion_of, recode, structural_similarity
from himmel.video import Video
from himmel.video.file.pyav import KEEPS_FULL_RANGE

Encode = Callable[..., Path]
Pan = Callable[..., Iterator[np.ndarray]]
GOOD, COARSE = Coding("qp", 10, "veryfast"), Coding("qp", 40, "veryfast")


def lumas(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        # As stored: the format "gray" would stretch it to the full range.
        planes = [frame.to_ndarray(format="yuv420p")[: frame.height] for frame in container.decode(video=0)]
    return np.stack(planes).astype(np.float64)


def test_pictures_times_and_keyframes_stay(encode_clip: Encode, tmp_path: Path) -> None:
    # Pictures at uneven times, and keyframes that an encoder would not choose itself.
    times = [0, 3, 4, 9, 10, 14, 15, 16, 30, 31, 32, 33, 34, 35, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49]
    source = encode_clip("a.mkv", num_frames=24, pts=times, time_base=Fraction(1, 50), options={"g": "7", "bf": "2"})
    made = recode(source, tmp_path / "b.mp4", GOOD)
    one, other = Video(source), Video(tmp_path / "b.mp4")
    assert other.codec == "h264"
    np.testing.assert_allclose(other.times, one.times, atol=1e-3)
    assert other.keyframes.tolist() == one.keyframes.tolist() == [0, 7, 14, 21]
    assert (made.pictures, made.keyframes) == (24, 4)
    assert made.duration == pytest.approx(one.duration)
    # Reordered or shifted pictures would differ much more.
    assert np.abs(lumas(tmp_path / "b.mp4") - lumas(source)).mean() < 1.5


def test_the_same_bytes_each_time(encode_clip: Encode, tmp_path: Path) -> None:
    source = encode_clip("a.mp4", num_frames=20)
    for name in ("b.mp4", "c.mp4"):
        recode(source, tmp_path / name, COARSE)
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()


def test_a_constant_quantiser_is_constant(encode_clip: Encode, tmp_path: Path) -> None:
    source = encode_clip("a.mp4", num_frames=20, options={"crf": "20"})
    recode(source, tmp_path / "b.mp4", COARSE)
    found = {
        picture.type: picture.quantiser
        for picture in Video(tmp_path / "b.mp4").pictures(backend="bitstream")
        if picture.frame
    }
    # x264's factors between the kinds: 1.3 for B pictures, which is 2 steps of the quantiser.
    assert found == {"P": 40, "B": 42}


def test_a_coarser_quantiser_costs_bits_pixels_and_residual(encode_clip: Encode, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 8, (20, 128, 160, 3))
    base = cv2.GaussianBlur(np.random.default_rng(1).random((200, 260, 3)), (0, 0), 3)
    base = cv2.normalize(base, None, 30, 220, cv2.NORM_MINMAX)
    pictures = [np.clip(base[k : k + 128, 2 * k : 2 * k + 160] + noise[k], 0, 255).astype(np.uint8) for k in range(20)]
    source = encode_clip("a.mp4", pictures, options={"qp": "8"})
    good, coarse = (recode(source, tmp_path / f"{coding.level}.mp4", coding) for coding in (GOOD, COARSE))
    assert good.clip.bits_per_second > 4 * coarse.clip.bits_per_second
    assert (good.psnr > coarse.psnr + 8, good.ssim > coarse.ssim) == (True, True)
    assert good.clip.residual > 2 * coarse.clip.residual
    assert good.source == coarse.source
    assert good.source.quantiser == pytest.approx(8, abs=2.5)
    assert good.motion_change is not None
    assert good.source.speed == pytest.approx(math.hypot(2, 1), rel=0.2)


def test_psnr_is_that_of_the_decoded_pictures(encode_clip: Encode, tmp_path: Path) -> None:
    source = encode_clip("a.mp4", num_frames=12)
    made = recode(source, tmp_path / "b.mp4", COARSE)
    error = ((lumas(source) - lumas(tmp_path / "b.mp4")) ** 2).mean()
    assert made.psnr == pytest.approx(10 * math.log10(255**2 / error), abs=0.2)
    assert 0.3 < made.ssim < 1


def test_similarity_is_that_of_the_paper_computed_pixel_by_pixel() -> None:
    rng = np.random.default_rng(3)
    one = cv2.GaussianBlur(rng.random((24, 30)) * 255, (0, 0), 2).astype(np.float32)
    other = (0.7 * one + rng.normal(0, 12, one.shape) + 20).astype(np.float32)
    across = np.arange(-5, 6)
    window = np.exp(-(across[:, None] ** 2 + across[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    padded = [np.pad(plane.astype(np.float64), 5, mode="reflect") for plane in (one, other)]
    found = []
    for y in range(24):
        for x in range(30):
            a, b = (plane[y : y + 11, x : x + 11] for plane in padded)
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
            found.append(above / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    assert structural_similarity(one, other) == pytest.approx(np.mean(found), abs=1e-4)
    assert structural_similarity(one, one) == pytest.approx(1)


def test_motion_is_that_of_the_rendered_pan(encode_clip: Encode) -> None:
    source = encode_clip("a.mp4", num_frames=20, options={"bf": "2"})
    for picture in Video(source).pictures():
        motion, known = motion_of(picture)
        if not picture.keyframe and known.any():
            np.testing.assert_allclose(np.median(motion[:, known], axis=1), (2, 1), atol=0.25)


@pytest.mark.parametrize("codec", ["mpeg4", "libvpx-vp9"])
def test_other_codecs_become_h264_under_their_own_name(codec: str, encode_clip: Encode, tmp_path: Path) -> None:
    name = {"mpeg4": "a.avi", "libvpx-vp9": "a.webm"}[codec]
    source = encode_clip(name, codec=codec, num_frames=10)
    (tmp_path / "out").mkdir()
    made = recode(source, tmp_path / "out" / name, GOOD)
    assert Video(tmp_path / "out" / name).codec == "h264"
    assert made.source.quantiser is None
    assert made.clip.quantiser is not None


def test_turned_pictures_are_encoded_upright(encode_clip: Encode, tmp_path: Path) -> None:
    source = encode_clip("a.mp4", num_frames=6, rotation=90)
    recode(source, tmp_path / "b.mp4", GOOD)
    one, other = Video(source), Video(tmp_path / "b.mp4")
    assert (one.rotation, other.rotation) == (270, 0)
    assert (other.width, other.height) == (one.width, one.height) == (128, 160)
    images = [video.decompose(num_anchors=1).anchors[0].image.astype(np.float64) for video in (one, other)]
    assert np.abs(images[0] - images[1]).mean() < 3


def test_colours_stay(encode_clip: Encode, tmp_path: Path) -> None:
    patches = np.zeros((128, 160, 3), np.uint8)
    patches[:, :40], patches[:, 40:80], patches[:, 80:120] = (200, 30, 30), (30, 200, 30), (30, 30, 200)
    source = encode_clip("a.mp4", [patches] * 4, options={"colorspace": "bt709", "color_range": "pc", "qp": "5"})
    if not KEEPS_FULL_RANGE:
        with pytest.raises(VideoError, match=r"cannot keep the full range of colours.*install PyAV 16"):
            recode(source, tmp_path / "b.mp4", Coding("qp", 5, "veryfast"))
        return
    recode(source, tmp_path / "b.mp4", Coding("qp", 5, "veryfast"))
    images = [
        Video(path).decompose(num_anchors=1).anchors[0].image.astype(np.float64)
        for path in (source, tmp_path / "b.mp4")
    ]
    assert np.abs(images[0] - images[1]).mean() < 3


@pytest.mark.skipif(not KEEPS_FULL_RANGE, reason="motion JPEG has the full range of colours, which PyAV 15 loses")
def test_an_odd_row_and_column_are_left_out(encode_clip: Encode, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (65, 81, 3), np.uint8)
    source = encode_clip("a.mkv", [picture] * 3, codec="mjpeg", pix_fmt="yuvj420p")
    made = recode(source, tmp_path / "b.mp4", GOOD)
    clip = Video(tmp_path / "b.mp4")
    assert (clip.width, clip.height, made.pictures) == (80, 64, 3)


def test_a_single_picture(encode_clip: Encode, tmp_path: Path) -> None:
    made = recode(encode_clip("a.mp4", num_frames=1), tmp_path / "b.mp4", GOOD)
    assert (made.pictures, made.keyframes, made.motion_change, made.clip.vectors) == (1, 1, None, 0)


def test_what_is_no_video_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(VideoError, match="cannot be read as a video"):
        recode(tmp_path / "a.mp4", tmp_path / "b.mp4", GOOD)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_picture_types_are_the_encoders_choice_between_keyframes(encode_clip: Encode, tmp_path: Path) -> None:
    recode(encode_clip("a.mp4", num_frames=20, options={"bf": "0"}), tmp_path / "b.mp4", GOOD)
    with av.open(str(tmp_path / "b.mp4")) as container:
        types = [PictureType(frame.pict_type).name for frame in container.decode(video=0)]
    assert (types[0], types.count("I")) == ("I", 1)
    assert "B" in types
