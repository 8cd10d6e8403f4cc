from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.sidedata.motionvectors import MotionVectors
from av.video.frame import VideoFrame

from himmel.video.file.memory import plane_samples, vector_records
from himmel.video.file.side_data import side_data

Encode = Callable[..., Path]


@pytest.fixture
def frame(encode_clip: Encode) -> VideoFrame:
    """One with vectors, of a width that FFmpeg pads."""
    with av.open(str(encode_clip("a.mp4", size=(150, 90)))) as container:
        container.streams.video[0].codec_context.options = {"flags2": "+export_mvs"}
        return next(frame for frame in container.decode(video=0) if side_data(frame, "MOTION_VECTORS") is not None)


def test_samples_are_the_picture_without_its_padding(frame: VideoFrame) -> None:
    assert frame.planes[0].line_size > 150
    whole = frame.to_ndarray(format="yuv420p")
    assert np.array_equal(plane_samples(frame.planes[0]), whole[:90])
    assert plane_samples(frame.planes[1]).shape == (45, 75)
    colour = frame.reformat(format="rgb24")
    assert np.array_equal(plane_samples(colour.planes[0], channels=3).reshape(90, 150, 3), colour.to_ndarray())


def test_vectors_are_those_of_pyav(frame: VideoFrame) -> None:
    vectors = side_data(frame, "MOTION_VECTORS")
    assert isinstance(vectors, MotionVectors)
    records = vector_records(vectors)
    assert len(records) > 10
    assert records.dtype == vectors.to_ndarray().dtype
    assert np.array_equal(records, vectors.to_ndarray())
