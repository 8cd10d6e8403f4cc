"""The ways of reading a whole file, or a part of it, that are timed against each other."""

import gc
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags2
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

STEPS = 128
_CELL = 16
# Pictures that one thread parses before it takes the next ones.
_RUN = 32


@dataclass(frozen=True)
class Reader:
    """One way of reading.

    Attributes:
        settings: what it does and how it was set, for the table.
        prepare: imports what is needed (ImportError: not installed) and returns the reading: (path, threads) ->
        pictures.
    """

    settings: str
    prepare: Callable[[], Callable[[Path, int], int]]


def packets(path: Path) -> Iterator[tuple[InputContainer, VideoStream, Iterator[Packet]]]:
    """The container, its video stream and the stream's packets, without the empty one at the end."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        yield container, stream, (packet for packet in container.demux(stream) if packet.size)


def _demux() -> Callable[[Path, int], int]:
    def read(path: Path, threads: int) -> int:
        return sum(1 for _, _, found in packets(path) for _ in found)

    return read


def _open() -> Callable[[Path, int], int]:
    def read(path: Path, threads: int) -> int:
        with av.open(str(path)) as container:
            return container.streams.video[0].frames

    return read


def _index() -> Callable[[Path, int], int]:
    from himmel.video import Video

    return lambda path, threads: Video(path).num_frames


def _bitstream(*, residual: bool, steps: int | None = None) -> Callable[[], Callable[[Path, int], int]]:
    def prepare() -> Callable[[Path, int], int]:
        from himmel_bitstream import Picture

        def maps(picture: Picture) -> int:
            picture.maps(cell=_CELL, residual=residual)
            return 1

        def read(path: Path, threads: int) -> int:
            pictures = _pictures(path) if steps is None else _spread(path, steps)
            return sum(map(maps, pictures) if threads == 1 else _pooled(maps, pictures, threads))

        return read

    return prepare


def _pictures(path: Path) -> Iterator[Any]:
    """Every picture of a file, for the caller to parse."""
    from himmel_bitstream import Stream

    for _, video, found in packets(path):
        stream = Stream(video.codec_context.extradata)
        interval = _interval(video)
        for number, packet in enumerate(found):
            yield from stream.push(packet, number=number, position=(packet.pts or 0) / interval)
        yield from stream.flush()


def _spread(path: Path, steps: int) -> Iterator[Any]:
    """`steps` pictures at equal distances in decode order; headers alone are read from the keyframe before each."""
    from himmel_bitstream import Stream

    for container, video, _ in packets(path):
        stream = Stream(video.codec_context.extradata)
        interval = _interval(video)
        times = [entry.timestamp for entry in video.index_entries]
        keys = [k for k, entry in enumerate(video.index_entries) if entry.is_keyframe]
        number = -1
        walked: Iterator[Packet] = iter(())
        for step in range(steps):
            wanted = (2 * step + 1) * len(times) // (2 * steps)
            if number < keys[bisect_right(keys, wanted) - 1]:
                container.seek(times[wanted], stream=video)
                stream.reset()
                walked = container.demux(video)
                number = -1
            for packet in walked:
                # Seeking goes by presentation times, the index by decoding times: it may have ended a keyframe early.
                number = bisect_left(times, packet.dts or 0) if number < 0 else number + 1
                position = (packet.pts or 0) / interval
                pictures = stream.push(packet, number=number, position=position, keep=number == wanted)
                yield from (picture for picture in pictures if picture.number == wanted)
                if number == wanted:
                    break


def _interval(video: VideoStream) -> float:
    """Units of time from one picture to the next."""
    return 1 / float((video.average_rate or 0) * (video.time_base or 0))


def _pooled(work: Callable[[Any], int], items: Iterator[Any], threads: int) -> Iterator[int]:
    """Results of `work` in order; this thread takes items while `threads` others work on runs of them.

    A B picture waits for its co-located one, which comes just before it: given out one by one, threads would wait for
    each other most of the time. In runs they meet at the ends alone.
    """

    def work_off(run: deque[Any]) -> list[int]:
        # A picture that has been read lets go of its memory, which the next one takes.
        return [work(run.popleft()) for _ in range(len(run))]

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[int]]] = deque()
        while run := deque(islice(items, _RUN)):
            waiting.append(pool.submit(work_off, run))
            if len(waiting) > threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _decompose() -> Callable[[Path, int], int]:
    from himmel.video import Video

    def read(path: Path, threads: int) -> int:
        decomposition = Video(path).decompose(
            num_anchors=8, steps_per_interval=STEPS // 8, cell=_CELL, backend="bitstream", threads=threads
        )
        return sum(len(interval.frames) for interval in decomposition.intervals)

    return read


def _libav(options: dict[str, str]) -> Callable[[], Callable[[Path, int], int]]:
    def part(path: Path, first: int | None, stop: int | None) -> int:
        """Pictures with vectors from the keyframe at `first` up to the one at `stop` (pts; None: the file's ends)."""
        count = 0
        for container, video, _ in packets(path):
            if first is not None:
                container.seek(first, stream=video)
            context = video.codec_context
            context.thread_count = 1
            context.flags2 |= Flags2.export_mvs
            context.options = options
            for packet in container.demux(video):
                last = stop is not None and packet.is_keyframe and packet.pts == stop
                for frame in context.decode(None if last else packet):
                    vectors = frame.side_data.get("MOTION_VECTORS")
                    if vectors is not None:
                        vectors.to_ndarray()
                    count += 1
                if last:
                    break
        return count

    def read(path: Path, threads: int) -> int:
        # A frame whose side data was looked at is in a reference cycle: collecting often takes less memory and time.
        gc.set_threshold(100)
        # Several threads in one decoder give wrong vectors: each thread decodes other groups of pictures by itself.
        edges: list[int | None] = [None]
        for container, video, _ in packets(path):
            for k in range(1, threads):
                container.seek(int(k / threads * (video.duration or 0)), stream=video)
                edges.append(next(container.demux(video)).pts)
        edges.append(None)
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(part, [path] * threads, edges, edges[1:]))

    return lambda: read


def _mv_extractor(*, frames: bool) -> Callable[[], Callable[[Path, int], int]]:
    def prepare() -> Callable[[Path, int], int]:
        from mvextractor.videocap import VideoCap

        def read(path: Path, threads: int) -> int:
            capture = VideoCap()
            capture.open(str(path))
            capture.set_decode_frames(frames)
            count = 0
            while capture.read()[0]:
                count += 1
            capture.release()
            return count

        return read

    return prepare


def _rgb_pyav() -> Callable[[Path, int], int]:
    def read(path: Path, threads: int) -> int:
        count = 0
        for container, video, _ in packets(path):
            video.codec_context.thread_count = threads
            video.codec_context.thread_type = "AUTO"
            for frame in container.decode(video):
                frame.to_ndarray(format="rgb24")
                count += 1
        return count

    return read


def _rgb_torchcodec() -> Callable[[Path, int], int]:
    import torch
    from torchcodec.decoders import VideoDecoder

    def read(path: Path, threads: int) -> int:
        torch.set_num_threads(threads)
        decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=threads, seek_mode="approximate")
        count = len(decoder)
        for k in range(count):
            decoder[k]
        return count

    return read


def _rgb_opencv() -> Callable[[Path, int], int]:
    import cv2

    def read(path: Path, threads: int) -> int:
        cv2.setNumThreads(threads)
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
        count = 0
        while capture.read()[0]:
            count += 1
        capture.release()
        return count

    return read


# What a reading opens before it reads; they are measured for their memory alone.
OPENERS = {
    "open": Reader("PyAV, opened and nothing read: FFmpeg's own index", _open),
    "index": Reader("himmel.Video(): the same, the picture index and one decoded picture", _index),
}
READERS = {
    "demux": Reader("PyAV, packets only", _demux),
    "bitstream": Reader("maps of 16x16 cells of every picture, no residual planes", _bitstream(residual=False)),
    "bitstream+residual": Reader("the same with residual", _bitstream(residual=True)),
    "libav": Reader(
        "PyAV, vectors as numpy, not gridded; no loop filter, no IDCT; one-threaded decoders on halves of the file",
        _libav({"skip_loop_filter": "all", "skip_idct": "all"}),
    ),
    "libav-default": Reader("the same with loop filter and IDCT, as FFmpeg decodes if nothing is said", _libav({})),
    "mv-extractor": Reader("vectors only, set_decode_frames(False); its own threads", _mv_extractor(frames=False)),
    "mv-extractor-default": Reader("vectors and BGR pictures", _mv_extractor(frames=True)),
    "rgb-pyav": Reader("to_ndarray(rgb24), full size; frame and slice threads", _rgb_pyav),
    "rgb-torchcodec": Reader("NHWC, picture by picture, approximate seeking", _rgb_torchcodec),
    "rgb-opencv": Reader("VideoCapture with FFmpeg, BGR", _rgb_opencv),
    "bitstream-128-steps": Reader(
        "maps with residual of 128 pictures; headers from the keyframe before each",
        _bitstream(residual=True, steps=STEPS),
    ),
    "decompose": Reader("himmel.Video().decompose(): index, 8 decoded anchors, 128 steps with residual", _decompose),
}
