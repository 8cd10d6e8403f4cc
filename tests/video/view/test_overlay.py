"""Overlay videos, decoded again: their times, and the colours of motion and residual that are known."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from himmel.errors import UsageError
from himmel.video import Video, draw_overlay

Encode = Callable[..., Path]
Picture = npt.NDArray[np.uint8]
BAND = 112


def decoded(path: Path) -> tuple[list[float], list[Picture]]:
    """Times and pictures of a file, and nothing but FFmpeg's word for them."""
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264"]
        frames = list(container.decode(video=0))
    return [float(frame.pts * frame.time_base) for frame in frames], [
        frame.to_ndarray(format="rgb24") for frame in frames
    ]


def hues(picture: Picture) -> npt.NDArray[np.int64]:
    """Hue in degrees of all pixels that have a strong colour."""
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    return 2 * hsv[..., 0][(hsv[..., 1] > 110) & (hsv[..., 2] > 90)].astype(np.int64)


def grey(pictures: Iterator[Picture]) -> list[Picture]:
    """The same without colours, so that all colours are an overlay's own."""
    return [np.repeat(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2) for one in pictures]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_pictures_keep_their_times(suffix: str, encode_clip: Encode, tmp_path: Path) -> None:
    """Even where the time from one to the next varies."""
    pts = [0, 40, 120, 160, 420, 460, 470, 480, 900, 1000]
    path = encode_clip("a.mp4", num_frames=10, pts=pts, time_base=Fraction(1, 1000), options={"bf": "2"})
    overlay = draw_overlay(Video(path), tmp_path / f"out{suffix}")
    times, pictures = decoded(tmp_path / f"out{suffix}")
    assert times == pytest.approx([one / 1000 for one in pts], abs=0.0011)
    assert (overlay.pictures, overlay.without_maps, overlay.backend) == (10, 0, "bitstream")
    assert pictures[0].shape == (512 + BAND, 640, 3)


@pytest.mark.parametrize(
    ("velocity", "hue"), [((4, 0), 0), ((0, 4), 90), ((-4, 0), 180), ((0, -4), 270)], ids=["red", "down", "left", "up"]
)
def test_arrows_have_the_colour_of_their_direction(
    velocity: tuple[int, int], hue: int, encode_clip: Encode, pan: Callable, tmp_path: Path
) -> None:
    """Red moves right, yellow-green down, cyan left, violet up."""
    clip = encode_clip("a.mp4", grey(pan(16, (320, 192), velocity)), options={"bf": "0", "crf": "10"})
    draw_overlay(Video(clip), tmp_path / "out.mp4")
    found = hues(decoded(tmp_path / "out.mp4")[1][10][:-BAND])
    assert len(found) > 200
    apart = np.abs((found - hue + 180) % 360 - 180)
    assert np.mean(apart < 25) > 0.75


def test_arrows_point_where_the_picture_goes(encode_clip: Encode, pan: Callable, tmp_path: Path) -> None:
    """Of an arrow to the right, the right half has more of it, since its head is there."""
    clip = encode_clip("a.mp4", grey(pan(16, (320, 192), (4, 0))), options={"bf": "0", "crf": "10"})
    draw_overlay(Video(clip), tmp_path / "out.mp4")
    picture = decoded(tmp_path / "out.mp4")[1][10][:-BAND]
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    red = ((hsv[..., 1] > 110) & (hsv[..., 2] > 90)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(red)
    heads = []
    for label in range(1, len(stats)):
        left, _, width, _, area = stats[label]
        if width > 20 and area > 20:
            part = labels[:, left : left + width] == label
            heads.append(part[:, width // 2 :].sum() > part[:, : width // 2].sum())
    assert len(heads) > 20
    assert np.mean(heads) > 0.9


def test_heat_is_where_the_residual_is(encode_clip: Encode, tmp_path: Path) -> None:
    """Only the upper left quarter changes, in a way that no motion explains."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.random((128, 192), np.float32), (0, 0), 3)
    ground = cv2.normalize(ground, None, 60, 190, cv2.NORM_MINMAX)
    pictures = []
    for _ in range(16):
        one = ground.copy()
        one[:64, :96] += cv2.resize(rng.normal(0, 14, (16, 24)).astype(np.float32), (96, 64))
        pictures.append(np.repeat(one.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    options = {"bf": "0", "crf": "14", "x264-params": "scenecut=0"}
    draw_overlay(Video(encode_clip("a.mp4", pictures, options=options)), tmp_path / "out.mp4")
    drawn = decoded(tmp_path / "out.mp4")[1][8][:-BAND]
    strength = cv2.cvtColor(drawn, cv2.COLOR_RGB2HSV)[..., 1].astype(float)
    rows, columns = strength.shape
    inside = strength[: rows // 2 - 8, : columns // 2 - 8].mean()
    outside = strength[rows // 2 + 8 :].mean()
    assert inside > 5 * outside


def test_a_cut_is_framed_and_listed(encode_clip: Encode, pan: Callable, tmp_path: Path) -> None:
    pictures = [*pan(45, (192, 128), (1, 0)), *pan(40, (192, 128), (1, 0), seed=9)]
    overlay = draw_overlay(Video(encode_clip("a.mp4", pictures)), tmp_path / "out.mp4", start=0.64)
    assert overlay.cuts == pytest.approx((1.8,))
    shown = decoded(tmp_path / "out.mp4")[1]
    orange = np.array([230, 159, 0])
    at_edge = [np.abs(one[3:6, 200:400].astype(int) - orange).mean() for one in shown]
    assert len(shown) == 69
    assert max(at_edge[29:38]) < 25 < min(at_edge[:29])
    assert min(at_edge[40:]) > 25


def test_a_stretch_has_its_own_pictures_alone(encode_clip: Encode, tmp_path: Path) -> None:
    overlay = draw_overlay(Video(encode_clip("a.mp4")), tmp_path / "out.mp4", start=0.5, end=1.0)
    times, _ = decoded(tmp_path / "out.mp4")
    # 12 begins at 0.48 s and is on the screen at 0.5 s.
    assert times == pytest.approx([k / 25 for k in range(13)], abs=1e-4)
    assert (overlay.start, overlay.end) == pytest.approx((0.48, 1.0))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"num_frames": 1}, (640, 512)),
        ({"rotation": 90}, (512, 640)),
        ({"size": (64, 400), "num_frames": 4}, (420, 640)),
        ({"size": (1602, 202), "num_frames": 2}, (1280, 162)),
        ({"codec": "mpeg4", "num_frames": 5}, (640, 512)),
        ({"codec": "libvpx-vp9", "num_frames": 5}, (640, 512)),
    ],
)
def test_any_shape_and_codec(options: dict, size: tuple[int, int], encode_clip: Encode, tmp_path: Path) -> None:
    clip = encode_clip("a.mkv" if "codec" in options else "a.mp4", **options)
    overlay = draw_overlay(Video(clip), tmp_path / "o.mp4")
    _, pictures = decoded(tmp_path / "o.mp4")
    assert len(pictures) == overlay.pictures == options.get("num_frames", 40)
    band = 168 if size[0] == 1280 else BAND
    assert pictures[0].shape == (size[1] + band, size[0], 3)


def test_a_picture_that_cannot_be_read_leaves_the_others_in_their_places(encode_clip: Encode, tmp_path: Path) -> None:
    """Where its bytes are lost, the picture before it is shown once more, without maps."""
    clip = encode_clip("a.mp4", num_frames=20, options={"bf": "0", "g": "10"})
    with av.open(str(clip)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][5]
    data = bytearray(clip.read_bytes())
    data[position : position + size] = bytes(size)
    clip.write_bytes(data)
    overlay = draw_overlay(Video(clip), tmp_path / "out.mp4")
    times, _ = decoded(tmp_path / "out.mp4")
    assert times == pytest.approx([k / 25 for k in range(20)], abs=1e-4)
    assert (overlay.pictures, overlay.without_maps) == (20, 1)


def test_the_same_video_gives_the_same_bytes(encode_clip: Encode, tmp_path: Path) -> None:
    video = Video(encode_clip("a.mp4", num_frames=12))
    for name in ("one.mp4", "two.mp4"):
        draw_overlay(video, tmp_path / name)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_a_name_of_another_kind_is_refused(encode_clip: Encode, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"which kind of video to write; let its name end in \.mp4, \.mkv or \.mov"):
        draw_overlay(Video(encode_clip("a.mp4", num_frames=3)), tmp_path / "out.avi")
    assert not (tmp_path / "out.avi").exists()


PROGRAM = """
import resource, sys
from himmel.video import Video, draw_overlay
draw_overlay(Video(sys.argv[1]), sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_longer_videos_take_no_more_memory(encode_clip: Encode, tmp_path: Path) -> None:
    def peak(name: str, pictures: int) -> int:
        clip = encode_clip(name, "still", num_frames=pictures, options={"g": "25"})
        command = [sys.executable, "-c", PROGRAM, str(clip), str(tmp_path / "out.mp4")]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # All 1,500 pictures at once would take 1.5 GB.
    assert peak("long.mp4", 1500) < 1.1 * peak("short.mp4", 150)
