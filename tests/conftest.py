"""Clips that tests encode for themselves, with PyAV."""

import math
import signal
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings

from himmel._x264 import repeatable_x264

Picture = npt.NDArray[np.uint8]

# Machines that run several things at once are slow now and then, and a test must fail for one reason only.
settings.register_profile("himmel", deadline=None, derandomize=True)
settings.load_profile("himmel")
# Shells have what they start in the background ignore Ctrl-C, and with it all that this starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def texture(width: int, height: int, seed: int = 0) -> Picture:
    """A smooth random colour pattern with strong contrast, uint8 [height, width, 3]; a shift of it is unmistakable."""
    noise = np.random.default_rng(seed).random((height, width, 3), np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 16, 235, cv2.NORM_MINMAX).astype(np.uint8)


def pan_pictures(
    num_frames: int, size: tuple[int, int], velocity: tuple[int, int] = (2, 1), seed: int = 0
) -> Iterator[Picture]:
    """Pictures [height, width, 3] of a texture that moves by `velocity` (right, down) whole pixels a picture."""
    (width, height), (vx, vy) = size, velocity
    room_x, room_y = abs(vx) * num_frames, abs(vy) * num_frames
    whole = texture(width + room_x, height + room_y, seed)
    for k in range(num_frames):
        x, y = (room_x if vx > 0 else 0) - vx * k, (room_y if vy > 0 else 0) - vy * k
        yield np.ascontiguousarray(whole[y : y + height, x : x + width])


def encode(
    path: Path,
    frames: Iterable[Picture] | str = "pan",
    *,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    rate: int | Fraction = 25,
    size: tuple[int, int] = (160, 128),
    pix_fmt: str = "yuv420p",
    num_frames: int = 40,
    pts: Sequence[int] | None = None,
    container_format: str | None = None,
    container_options: Mapping[str, str] | None = None,
    rotation: int = 0,
    time_base: Fraction | None = None,
    shift: int = 0,
) -> Path:
    """Encode pictures to a file and return its path.

    Args:
        frames: RGB pictures uint8 [H, W, 3], or "pan" (moves 2 right and 1 down a picture) or "still" of `num_frames`
            pictures of `size` (width, height).
        options: the encoder's, such as {"g": "12", "bf": "2"}.
        pts: timestamps of the pictures in units of `time_base` (default 1 / rate) for variable frame rates.
        rotation: degrees that players turn the picture counter-clockwise.
        shift: added to all packets' timestamps, in units of the packets' time base.
    """
    if isinstance(frames, str):
        frames = pan_pictures(num_frames, size, (0, 0) if frames == "still" else (2, 1))
    pictures = list(frames)
    height, width = pictures[0].shape[:2]
    # x265 4.2 writes past its buffers for pictures smaller than a coding tree unit.
    assert codec != "libx265" or min(width, height) >= 64
    options = dict(options or {})
    if codec == "libx264":
        given = options.get("x264-params")
        parameters = [*([given] if given else []), *(f"{name}={value}" for name, value in repeatable_x264().items())]
        if parameters:
            options["x264-params"] = ":".join(parameters)
    with av.open(str(path), "w", format=container_format, options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        # Encoders' threads fight for a busy machine's cores, which takes longer than one thread.
        stream.codec_context.thread_count = 1
        if time_base is not None:
            stream.codec_context.time_base = time_base

        def mux(packets: Iterable[av.Packet]) -> None:
            for packet in packets:
                if shift:
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                container.mux(packet)

        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = k if pts is None else pts[k]
            frame.time_base = time_base or 1 / Fraction(rate)
            mux(stream.encode(frame))
        mux(stream.encode(None))
    if rotation:
        turn(path, rotation)
    return path


def turn(path: Path, degrees: int) -> None:
    """Write how players turn the picture counter-clockwise into an MP4's only track header (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 4
    # Version 1 has times of eight bytes.
    at = header + (52 if data[header] == 1 else 40)
    cos, sin = round(math.cos(math.radians(degrees))), round(math.sin(math.radians(degrees)))
    one, whole = 2**16, 2**30
    struct.pack_into(">9i", data, at, cos * one, -sin * one, 0, sin * one, cos * one, 0, 0, 0, whole)
    path.write_bytes(data)


@pytest.fixture(scope="session")
def pan() -> Callable[..., Iterator[Picture]]:
    """`pan_pictures`: pictures of a texture that moves."""
    return pan_pictures


@pytest.fixture(scope="session")
def write_clip() -> Callable[..., Path]:
    """`encode` to a whole path, for fixtures that outlive a test."""
    return encode


@pytest.fixture
def encode_clip(tmp_path: Path) -> Callable[..., Path]:
    """`encode` with names relative to the test's own folder: `encode_clip("a.mp4", codec="libx264", ...)`."""

    def here(name: str | Path, frames: Iterable[Picture] | str = "pan", **options: Any) -> Path:
        return encode(tmp_path / name, frames, **options)

    return here
