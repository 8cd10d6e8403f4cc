"""References, vectors and residual together: prediction plus residual is FFmpeg's picture, sample by sample.

Streams are encoded without the loop filter and in whole macroblocks, so that what is decoded is what was predicted plus
the residual.
"""

from pathlib import Path

import numpy as np
import pytest
from clips import Clip, decoded, pictures
from reconstruct import lossless_share, rebuild

SIZE = (96, 64)

CLIPS = {
    "p-cabac": "bframes=0:ref=4:partitions=all:8x8dct=0",
    "p-cavlc": "bframes=0:ref=4:partitions=all:8x8dct=0:cabac=0",
    "p-8x8": "bframes=0:ref=2:8x8dct=1",
    "p-8x8-cavlc": "bframes=0:ref=2:8x8dct=1:cabac=0",
    "b-pyramid": "bframes=4:b-adapt=0:b-pyramid=normal:ref=4:partitions=all:weightb=0",
    "b-temporal-cavlc": "bframes=3:b-adapt=0:direct=temporal:ref=3:cabac=0:weightb=0",
    "implicit-weights": "bframes=3:b-adapt=0:b-pyramid=normal:ref=4:weightb=1",
    "explicit-weights": "bframes=2:weightp=2:ref=3",
    "matrices": "bframes=2:cqm=jvt:8x8dct=1",
    "low-qp": "qp=4:bframes=2",
    "high-qp": "qp=44:bframes=2",
    "mbaff": "tff=1:bframes=0:ref=3:partitions=all",
    "mbaff-b": "tff=1:bframes=3:b-adapt=0:ref=3:direct=spatial",
    "mbaff-temporal-cavlc": "bff=1:bframes=3:b-adapt=0:ref=3:direct=temporal:cabac=0",
    "slices": "slices=3:bframes=2",
}
FORMATS = {
    "10-bit": "yuv420p10le",
    "422": "yuv422p",
    "422-10-bit": "yuv422p10le",
    "444": "yuv444p",
}


def check(clip: Clip, path: Path) -> None:
    clip.encode(path)
    planes = decoded(path)
    ours = pictures(path)
    seen = 0
    for pts, picture in sorted(ours.items()):
        if picture.kind == "I":
            continue
        built, known = rebuild(picture, planes)
        for plane, (mine, where) in enumerate(zip(built, known, strict=True)):
            wrong = where & (mine != planes[pts][plane])
            assert not wrong.any(), (picture, plane, np.argwhere(wrong)[0], int(wrong.sum()), int(where.sum()))
        seen += int(known[0].sum())
    assert seen > 0.3 * SIZE[0] * SIZE[1] * (len(ours) - 1)


@pytest.mark.parametrize("name", CLIPS)
def test_prediction_plus_residual_is_the_decoded_picture(name: str, tmp_path: Path) -> None:
    check(Clip("no-deblock=1:" + CLIPS[name], size=SIZE, num_frames=8), tmp_path / "clip.mp4")


@pytest.mark.parametrize("cabac", [0, 1])
@pytest.mark.parametrize("name", FORMATS)
def test_in_every_sample_format(name: str, cabac: int, tmp_path: Path) -> None:
    params = f"no-deblock=1:bframes=2:ref=2:cabac={cabac}"
    check(Clip(params, pix_fmt=FORMATS[name], size=SIZE, num_frames=6), tmp_path / "clip.mp4")


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_lossless_macroblocks_are_exact(pix_fmt: str, tmp_path: Path) -> None:
    clip = Clip("qp=0:bframes=2:no-deblock=1", pix_fmt=pix_fmt, size=SIZE, num_frames=6)
    check(clip, tmp_path / "clip.mp4")
    assert all(lossless_share(picture) > 0 for picture in pictures(tmp_path / "clip.mp4").values())


@pytest.mark.parametrize("cell", [4, 8, 16])
@pytest.mark.parametrize("params", ["bframes=2:ref=2", "tff=1:bframes=2", "qp=0:bframes=1"])
def test_maps_hold_the_sums_of_the_exact_residual(params: str, cell: int, tmp_path: Path) -> None:
    path = Clip(params, size=SIZE, num_frames=6).encode(tmp_path / "clip.mp4")
    for picture in pictures(path).values():
        if picture.kind == "I":
            continue
        maps = picture.maps(cell=cell)
        luma, *chroma = picture.residual()
        rows, columns = SIZE[1] // cell, SIZE[0] // cell

        def cells(plane: np.ndarray, rows: int = rows, columns: int = columns) -> np.ndarray:
            blocks = plane.astype(float).reshape(rows, plane.shape[0] // rows, columns, plane.shape[1] // columns)
            return blocks.sum(axis=(1, 3))

        # Blocks of field macroblocks lie on every second line: their share of a cell is known to the pair of lines.
        if picture.mbaff and cell < 16:
            continue
        area = maps.covered * cell * cell
        assert np.allclose(maps.residual[1] * area, cells(luma), atol=0.6 * cell * cell)
        energy = cells(luma.astype(float) ** 2)
        assert np.allclose(np.sqrt(maps.residual[0] ** 2 * area), np.sqrt(energy), atol=0.6 * cell)
        # A 4x4 block of chroma lies below four such cells of luma and is spread over them.
        if cell == 4:
            continue
        colour = cells(chroma[0].astype(float) ** 2 + chroma[1].astype(float) ** 2)
        assert np.allclose(np.sqrt(maps.residual[2] ** 2 * area / 2), np.sqrt(colour), atol=0.6 * cell)
