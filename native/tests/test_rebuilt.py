"""References, vectors and residual together, on all of `streams`: prediction plus residual is what FFmpeg decodes.

FFmpeg leaves the loop filter out everywhere, so its references are unfiltered too: what it shows is exactly
what was predicted from other shown pictures plus the residual, which need not be what the encoder saw.
"""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from exported import parse
from reconstruct import rebuild
from streams import RECIPES

from himmel_bitstream import INTRA

pytestmark = pytest.mark.slow

Plane = npt.NDArray[np.int32]


def unfiltered(path: Path) -> dict[int, list[Plane]]:
    """Planes of whole coded frames without the loop filter, by the number of the packet that begins them."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        context.thread_count = 1
        context.options = {"skip_loop_filter": "all", "apply_cropping": "0"}
        shown = []
        for number, packet in enumerate(p for p in container.demux(video) if p.size):
            packet.pts = packet.dts = number
            shown += context.decode(packet)
        shown += context.decode(None)
        return {frame.pts: [_samples(frame, plane) for plane in frame.planes] for frame in shown}


def _samples(frame: av.VideoFrame, plane: av.video.plane.VideoPlane) -> Plane:
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind().itemsize)
    return rows[: plane.height, : plane.width].astype(np.int32)


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.params.get("keyint") != "1"])
def test_prediction_plus_residual_is_the_decoded_picture(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    path = recipe.encode(tmp_path / f"stream{recipe.suffix}")
    planes, seen = unfiltered(path), 0
    for number, picture in parse(path).items():
        if picture.kind == "I":
            continue
        built, known = rebuild(picture, planes)
        assert known[0].sum() == 256 * ((picture.macroblocks()["flags"] & INTRA) == 0).sum()
        # FFmpeg shows monochrome with empty chroma planes.
        for plane, (mine, where) in enumerate(zip(built, known, strict=True)):
            wrong = where & (mine != planes[number][plane])
            assert not wrong.any(), (picture, plane, np.argwhere(wrong)[0], int(wrong.sum()), int(where.sum()))
        seen += int(known[0].sum())
    assert seen > 0
