"""720p25 clips of real footage to time readers on: cut together and encoded once, kept in the cache, at any length.

Twenty seconds of animation, a street, a pan over a photograph and a face (himmel's sample clips and photographs, got on
first use), x264 medium at its defaults: crf 23, a keyframe at scene cuts and at least every 250 pictures, which makes
one in 3.3 s here (lively clips: in 1.8 s), as films have them; in the uncut clip, one in 10 s. Packets of
these, closed groups of pictures, are repeated with later timestamps for longer clips, so that an hour costs no more
encoding than a minute.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from himmel._files import atomic_path, cache_root
from himmel.nano.assets import SampleClip, get_photographs, get_sample_clip

Picture = NDArray[np.uint8]

RATE = 25
SECONDS = 20
_WIDTH, _HEIGHT = 1280, 720
# Raised whenever the clips change.
_VERSION = 1


@dataclass(frozen=True)
class Footage:
    """How a clip differs from the others.

    Attributes:
        lively: twice as fast and sharpened, which doubles the bits.
        options: x264's, besides medium and crf 23.
        uncut: one shot of the animation there and back; without, four scenes in 20 s, as films have them.
    """

    lively: bool
    options: dict[str, str]
    uncut: bool = False


# By about what they take: Mbit/s and entropy coding.
FOOTAGE = {
    "cabac-1.4": Footage(False, {"profile": "high"}),
    "cabac-3": Footage(True, {"profile": "high"}),
    "cavlc": Footage(False, {"profile": "high", "coder": "0"}),
    "uncut": Footage(False, {"profile": "high"}, uncut=True),
}


def footage(name: str) -> Path:
    """A clip of `SECONDS` seconds; encoded at the first call, 10 to 20 s of work."""
    path = cache_root() / "benchmarks" / f"{name}-v{_VERSION}.mp4"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            _encode(temporary, FOOTAGE[name])
    return path


def lengthen(source: Path, target: Path, *, minutes: float) -> Path:
    """Write `source` to `target` over and over until it is about `minutes` long; return `target`."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        video = reader.streams.video[0]
        stream = writer.add_stream_from_template(video)
        turn = int(SECONDS / Fraction(video.time_base or 0))
        for k in range(max(1, round(minutes * 60 / SECONDS))):
            reader.seek(0)
            for packet in reader.demux(video):
                if packet.pts is not None and packet.dts is not None:
                    packet.pts, packet.dts = packet.pts + k * turn, packet.dts + k * turn
                    packet.stream = stream
                    writer.mux(packet)
    return target


def megabits(path: Path) -> float:
    """Mbit/s of a file that holds nothing but video."""
    with av.open(str(path)) as container:
        return 8e-6 * path.stat().st_size / ((container.duration or 0) / av.time_base)


def keyframe_spacing(path: Path) -> float:
    """Mean seconds from one keyframe of a file to the next."""
    with av.open(str(path)) as container:
        keys = sum(entry.is_keyframe for entry in container.streams.video[0].index_entries)
        return (container.duration or 0) / av.time_base / keys


def _encode(path: Path, kind: Footage) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "23", "preset": "medium", **kind.options})
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        pictures = _one_shot() if kind.uncut else _scenes(lively=kind.lively)
        for k, picture in enumerate(islice(pictures, SECONDS * RATE)):
            frame = av.VideoFrame.from_ndarray(_sharpened(picture) if kind.lively else picture, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _scenes(*, lively: bool) -> Iterator[Picture]:
    """At least `SECONDS` of pictures uint8 [720, 1280, 3]."""
    step = 2 if lively else 1
    yield from _moving("bigbuckbunny", step)
    yield from _moving("bikes", step)
    yield from _pan("china.jpg", 126 // step)
    yield from _moving("carphone", step)


def _one_shot() -> Iterator[Picture]:
    """The animation, forward and backward in turns, without end."""
    pictures = list(_frames("bigbuckbunny", SECONDS * RATE))
    while True:
        yield from pictures
        yield from pictures[-2:0:-1]


def _moving(name: SampleClip, step: int) -> Iterator[Picture]:
    """A sample clip; when it is played fast, six seconds of it, back again where it is short."""
    pictures = list(_frames(name, 150 * step))
    yield from pictures[::step]
    if len(pictures) < 150 * step and step > 1:
        yield from pictures[::-step]


def _frames(name: SampleClip, most: int) -> Iterator[Picture]:
    """At most so many pictures of a sample clip, cut to 16:9 and enlarged."""
    with av.open(str(get_sample_clip(name))) as container:
        for frame in islice(container.decode(video=0), most):
            picture = frame.to_ndarray(format="rgb24")
            height, width = picture.shape[:2]
            tall = min(height, width * 9 // 16)
            wide = tall * 16 // 9
            top, left = (height - tall) // 2, (width - wide) // 2
            cut = picture[top : top + tall, left : left + wide]
            yield cv2.resize(cut, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def _pan(name: str, count: int) -> Iterator[Picture]:
    """A camera that goes over a photograph while it zooms in."""
    photograph = np.asarray(Image.open(get_photographs() / name).convert("RGB"))
    height, width = photograph.shape[:2]
    for k in range(count):
        t = k / count
        scale = width / (1 + 0.3 * t) / _WIDTH
        x = (width - scale * _WIDTH) * (0.2 + 0.6 * t)
        y = (height - scale * _HEIGHT) * (0.5 + 0.3 * np.sin(3 * t))
        view = np.array([[scale, 0, x], [0, scale, y]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        yield cv2.warpAffine(photograph, view, (_WIDTH, _HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT).astype(
            np.uint8
        )


def _sharpened(picture: Picture) -> Picture:
    return cv2.addWeighted(picture, 2.9, cv2.GaussianBlur(picture, (0, 0), 2), -1.9, 0).astype(np.uint8)
