"""The ways from a file to what a model is shown of it: anchors with motion maps, or 32 exact frames."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av

from benchmarks.readers import Reader

FRAMES = 32
ANCHORS = 8
STEPS_PER_INTERVAL = 16


def _prompt() -> Callable[[Path, int], int]:
    from himmel.adapter.config import AdapterConfig
    from himmel.model.streams import motion_channels, residual_channels
    from himmel.video import Video

    size = AdapterConfig().map_size

    def read(path: Path, threads: int) -> int:
        video = Video(path)
        decomposition = video.decompose(num_anchors=ANCHORS, steps_per_interval=STEPS_PER_INTERVAL, threads=threads)
        count = 0
        for interval in decomposition.intervals:
            motion = motion_channels(interval.maps, size, width=video.width, height=video.height)
            residual = residual_channels(interval.maps, size)
            assert len(motion) == len(residual)
            count += len(motion)
        return count

    return read


def _frames_pyav() -> Callable[[Path, int], int]:
    def read(path: Path, threads: int) -> int:
        opened = threading.local()

        def frame_at(part: int) -> int:
            if not hasattr(opened, "container"):
                opened.container = av.open(str(path))
                opened.container.streams.video[0].codec_context.thread_count = 1
            container = opened.container
            video = container.streams.video[0]
            pictures = round(part * video.frames / FRAMES)
            wanted = (video.start_time or 0) + round(pictures / (video.average_rate * video.time_base))
            container.seek(wanted, stream=video)
            for packet in container.demux(video):
                # Pictures that no other refers to are decoded only if they are the wanted one.
                video.codec_context.skip_frame = "DEFAULT" if packet.pts in (wanted, None) else "NONREF"
                for frame in packet.decode():
                    if frame.pts == wanted:
                        frame.to_ndarray(format="rgb24")
                        return 1
            return 0

        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(frame_at, range(FRAMES)))

    return read


def _frames_torchcodec() -> Callable[[Path, int], int]:
    import torch
    from torchcodec.decoders import VideoDecoder

    def read(path: Path, threads: int) -> int:
        torch.set_num_threads(threads)

        def frames(worker: int) -> int:
            decoder = VideoDecoder(str(path), dimension_order="NHWC", seek_mode="approximate", num_ffmpeg_threads=1)
            wanted = [round(part * len(decoder) / FRAMES) for part in range(FRAMES)]
            return len(decoder.get_frames_at(wanted[worker::threads]))

        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(frames, range(threads)))

    return read


PROMPTS = {
    "prompt": Reader("Video().decompose() with 8 anchors and 8 x 16 steps, maps on the adapter's grid", _prompt),
    "frames-pyav": Reader(
        "seek, decode without unreferenced pictures, to RGB; a one-threaded decoder per thread", _frames_pyav
    ),
    "frames-torchcodec": Reader(
        "get_frames_at, approximate seeking; a one-threaded decoder per thread", _frames_torchcodec
    ),
}
