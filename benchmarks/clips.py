"""Clips to measure on: real encodings, made on the spot, as long as wanted."""

from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

RATE = 25
_WIDTH, _HEIGHT = 1280, 720
_GOP = 250


def long_clip(path: Path, *, minutes: int) -> None:
    """Write 720p25 H.264 (x264 medium, crf 23, High, CABAC, a keyframe every 10 s) of the given length.

    Twenty seconds of a panned photograph-like texture with moving blocks are encoded; their packets, two closed groups
    of pictures, are then repeated with later timestamps, so that an hour costs no more encoding than a minute.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=RATE, options={"crf": "23", "preset": "medium", "g": str(_GOP), "sc_threshold": "0"}
        )
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        packets = []
        for index in range(2 * _GOP):
            packets += stream.encode(av.VideoFrame.from_ndarray(_picture(index), format="rgb24"))
        packets += stream.encode(None)
        span = 2 * _GOP
        unit = int(1 / (RATE * packets[0].time_base))
        kept = [(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in packets]
        for turn in range(minutes * 60 * RATE // span):
            for data, pts, dts, key in kept:
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, packets[0].time_base
                packet.pts, packet.dts = pts + turn * span * unit, dts + turn * span * unit
                packet.is_keyframe = key
                container.mux(packet)


def _texture() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (_HEIGHT + 200, _WIDTH + 1200, 3), dtype=np.uint8)
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma).astype(np.float32) - 127 for sigma in (2, 8, 32)]
    mixed = sum(layer / layer.std() for layer in layers)
    return np.clip(mixed * 30 + 127, 0, 255).astype(np.uint8)


_BACKGROUND = _texture()


def _picture(index: int) -> NDArray[np.uint8]:
    shift = 2 * min(index, 2 * _GOP - index)
    picture = np.ascontiguousarray(_BACKGROUND[100 : 100 + _HEIGHT, shift : shift + _WIDTH])
    for block in range(6):
        x = int((index * (3 + block) + 200 * block) % (_WIDTH - 120))
        y = 40 + 110 * block
        picture[y : y + 90, x : x + 90] = (40 * block, 255 - 40 * block, 128)
    return picture
