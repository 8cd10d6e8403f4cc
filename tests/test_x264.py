"""x264's parameters for clips that are the same each time."""

import hashlib
import io
from collections.abc import Callable
from fractions import Fraction

import av

from himmel._x264 import repeatable_x264
from himmel.video.file.pyav import ONE_THREAD


def test_the_same_pictures_are_the_same_bytes(pan: Callable) -> None:
    """60 times: x264's AVX-512 code, where the processor has it, gives other bytes in about one of 25 runs of this."""
    pictures = list(pan(20, (160, 96)))
    parameters = ":".join(f"{name}={value}" for name, value in repeatable_x264().items())
    found = set()
    for _ in range(60):
        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=25, options={"x264-params": parameters} if parameters else {})
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
            stream.codec_context.thread_count = 1
            for k, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p", **ONE_THREAD)
                frame.pts, frame.time_base = k, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        found.add(hashlib.sha256(file.getvalue()).hexdigest())
    assert len(found) == 1
