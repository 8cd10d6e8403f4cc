"""Small clips encoded by x264 at test time, and what FFmpeg and the engine say about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import x264

from himmel_bitstream import Picture, Stream

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """How a clip is encoded: x264's own parameters, pixel format, size and number of pictures."""

    params: str = ""
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = (112, 96)
    num_frames: int = 9
    options: tuple[tuple[str, str], ...] = ()

    def encode(self, path: Path) -> Path:
        """Write the clip to `path`."""
        with av.open(str(path), "w") as container:
            options = {"preset": "medium", "x264-params": f"{x264.PARAMETERS}:{self.params}", **dict(self.options)}
            stream = container.add_stream("libx264", rate=25, options=options)
            stream.width, stream.height = self.size
            stream.pix_fmt = self.pix_fmt
            top_first = "tff=1" in self.params.split(":")
            mark = x264.FieldOrder(*self.size, self.pix_fmt) if top_first else lambda frame: frame
            for image in moving_pictures(self.num_frames, *self.size):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=self.pix_fmt, threads=1)
                container.mux(stream.encode(mark(frame)))
            container.mux(stream.encode(None))
        return path


def moving_pictures(count: int, width: int, height: int) -> Iterator[Image]:
    """A drifting texture, two objects with speeds of their own, noise, and a fade at the end, uint8 [H, W, 3]."""
    rng = np.random.default_rng(7)
    coarse = rng.uniform(20, 235, (height // 6 + 20, width // 6 + 20, 3))
    rows, columns = np.arange(height), np.arange(width)
    for k in range(count):
        y, x = (rows + 0.75 * k) / 6, (columns + 1.5 * k) / 6
        y0, x0 = y.astype(int), x.astype(int)
        fy, fx = (y - y0)[:, None, None], (x - x0)[None, :, None]
        wide = coarse[:, x0] * (1 - fx) + coarse[:, x0 + 1] * fx
        image = wide[y0] * (1 - fy) + wide[y0 + 1] * fy
        for side, vx, vy, value in ((18, 5.0, 2.0, 230), (10, -3.5, 4.25, 30)):
            top, left = int(20 + vy * k) % (height - side), int(40 + vx * k) % (width - side)
            image[top : top + side, left : left + side] = value - 5 * k
        image *= 1 - 0.04 * max(0, k - count // 2)
        yield np.clip(image + rng.normal(0, 2.5, image.shape), 0, 255).astype(np.uint8)


def pictures(path: Path) -> dict[int, Picture]:
    """The engine's pictures by their presentation time; positions are indices in presentation order."""
    found: dict[int, Picture] = {}
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        stream = Stream(video.codec_context.extradata)
        packets = [packet for packet in container.demux(video) if packet.size]
        place = {pts: k for k, pts in enumerate(sorted(packet.pts for packet in packets))}
        for packet in packets:
            for picture in stream.push(packet, number=packet.pts, position=place[packet.pts]):
                found[picture.number] = picture
        for picture in stream.flush():
            found[picture.number] = picture
    return found


def decoded(path: Path) -> dict[int, list[npt.NDArray[np.int32]]]:
    """FFmpeg's planes (int32, cropped size) of every picture, by presentation time."""
    planes = {}
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        for frame in container.decode(video):
            planes[frame.pts] = [_samples(plane, frame.format.components[0].bits) for plane in frame.planes]
    return planes


def _samples(plane: av.video.plane.VideoPlane, bits: int) -> npt.NDArray[np.int32]:
    kind = np.uint8 if bits == 8 else np.uint16
    rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind().itemsize)
    return rows[: plane.height, : plane.width].astype(np.int32)
