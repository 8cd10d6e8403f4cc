"""Every vector of every picture against FFmpeg's export, on a matrix of x264 streams.

What FFmpeg exports (libavcodec/mpegutils.c): one vector per 16x16, 16x8, 8x16 or 8x8 block and list, with `source` -1
for
list 0 and 1 for list 1; of blocks smaller than 8x8 only the first one's; zero vectors for lists that a B macroblock
does
not use, and nothing for intra macroblocks. In MBAFF frames field macroblocks are exported where they are stored. So
both
sides are spread on an 8x8 lattice per list, of smaller blocks the top left one is taken, and where the engine has no
vector FFmpeg must have none or zero.
"""

from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from clips import Clip, decoded, pictures

from himmel_bitstream import Picture

NOTHING = 1 << 14

Lattice = npt.NDArray[np.int32]


def matrix() -> dict[str, Clip]:
    clips: dict[str, Clip] = {}

    def add(name: str, params: str = "", **how: object) -> None:
        assert name not in clips
        clips[name] = Clip(params, **how)  # type: ignore[arg-type]

    for cabac, ref, bframes in product((0, 1), (1, 2, 4, 8, 16), (0, 1, 3)):
        add(f"cabac{cabac}-ref{ref}-b{bframes}", f"cabac={cabac}:ref={ref}:bframes={bframes}:b-adapt=0", num_frames=12)
    for cabac, direct, pyramid in product(
        (0, 1), ("none", "spatial", "temporal", "auto"), ("none", "strict", "normal")
    ):
        add(
            f"direct-{direct}-{pyramid}-cabac{cabac}",
            f"cabac={cabac}:direct={direct}:b-pyramid={pyramid}:bframes=4:ref=4:b-adapt=0:partitions=all",
            num_frames=14,
        )
    for cabac, parts, dct in product((0, 1), ("none", "p8x8,b8x8", "p8x8,p4x4,b8x8,i8x8,i4x4", "all"), (0, 1)):
        add(f"parts-{parts}-dct{dct}-cabac{cabac}", f"cabac={cabac}:partitions={parts}:8x8dct={dct}:bframes=2:ref=3")
    for cabac, order, direct, bframes in product((0, 1), ("tff", "bff"), ("spatial", "temporal"), (0, 3)):
        add(
            f"{order}-{direct}-b{bframes}-cabac{cabac}",
            f"{order}=1:cabac={cabac}:direct={direct}:bframes={bframes}:ref=4:partitions=all:b-adapt=0",
            num_frames=12,
        )
    for cabac, pix_fmt in product((0, 1), ("yuv420p10le", "yuv422p", "yuv422p10le", "yuv444p", "yuv444p10le", "gray")):
        add(f"{pix_fmt}-cabac{cabac}", f"cabac={cabac}:bframes=2", pix_fmt=pix_fmt)
        add(f"{pix_fmt}-tff-cabac{cabac}", f"cabac={cabac}:bframes=2:tff=1", pix_fmt=pix_fmt)
    for cabac, qp in product((0, 1), (0, 1, 10, 20, 30, 40, 51)):
        add(f"qp{qp}-cabac{cabac}", f"cabac={cabac}:qp={qp}:bframes=2")
    for cabac in (0, 1):
        add(f"lossless-444-cabac{cabac}", f"cabac={cabac}:qp=0", pix_fmt="yuv444p")
        add(f"slices-cabac{cabac}", f"cabac={cabac}:slices=4:bframes=2:direct=temporal")
        add(f"slice-max-size-cabac{cabac}", f"cabac={cabac}:slice-max-size=200:bframes=2")
        add(f"slice-max-mbs-cabac{cabac}", f"cabac={cabac}:slice-max-mbs=5:bframes=2")
        add(f"tff-slices-cabac{cabac}", f"cabac={cabac}:slices=3:bframes=2:tff=1")
        add(f"intra-refresh-cabac{cabac}", f"cabac={cabac}:intra-refresh=1:keyint=6:bframes=0", num_frames=16)
        add(f"constrained-intra-cabac{cabac}", f"cabac={cabac}:constrained-intra=1:bframes=2")
        add(f"fake-interlaced-cabac{cabac}", f"cabac={cabac}:fake-interlaced=1:bframes=3:direct=temporal")
        add(f"open-gop-cabac{cabac}", f"cabac={cabac}:open-gop=1:keyint=5:bframes=3:b-adapt=0", num_frames=16)
        for weightp in (0, 1, 2):
            add(f"weightp{weightp}-cabac{cabac}", f"cabac={cabac}:weightp={weightp}:weightb={weightp % 2}:bframes=2")
    for width, height in ((98, 66), (130, 100), (64, 62), (176, 16), (16, 96), (114, 94)):
        add(f"size-{width}x{height}", "bframes=2", size=(width, height))
        if height % 4 == 0:
            add(f"size-{width}x{height}-tff", "bframes=2:tff=1", size=(width, height))
    for bframes in (8, 16):
        add(f"b{bframes}", f"bframes={bframes}:b-adapt=0:b-pyramid=normal:ref=8", num_frames=20)
    for name in ("jvt", "flat"):
        add(f"cqm-{name}", f"cqm={name}:bframes=2")
    add("crop", "crop-rect=6,2,10,4:bframes=2")
    add("baseline", options=(("profile", "baseline"),))
    add("main", options=(("profile", "main"),))
    add("high", options=(("profile", "high"),))
    return clips


MATRIX = matrix()


def exported_lattice(vectors: npt.NDArray[np.void] | None, width: int, height: int) -> Lattice:
    """FFmpeg's vectors on 8x8 blocks, int32 [2, H / 8, W / 8, 2] in quarter samples."""
    lattice = np.full((2, height // 8, width // 8, 2), NOTHING, np.int32)
    for v in () if vectors is None else vectors:
        x, y = (v["dst_x"] - v["w"] // 2) // 8, (v["dst_y"] - v["h"] // 2) // 8
        block = slice(y, y + max(v["h"] // 8, 1)), slice(x, x + max(v["w"] // 8, 1))
        lattice[(int(v["source"] > 0), *block)] = v["motion_x"], v["motion_y"]
    return lattice


def own_lattice(picture: Picture) -> Lattice:
    """The engine's vectors on the same lattice; field macroblocks where they are stored."""
    width, height = picture.coded_size
    lattice = np.full((2, height // 8, width // 8, 2), NOTHING, np.int32)
    for v in picture.vectors():
        row = int(v["mb"]) // (width // 16)
        first = 32 * (row // 2) + row % 2
        inside = (int(v["y"]) - first) // 2 if v["field"] else int(v["y"]) - 16 * row
        x, y = int(v["x"]), 16 * row + inside
        if x % 8 or y % 8:
            continue
        block = slice(y // 8, y // 8 + max(v["h"] // 8, 1)), slice(x // 8, x // 8 + max(v["w"] // 8, 1))
        lattice[(int(v["list"]), *block)] = v["mv_x"], v["mv_y"]
    return lattice


def differences(theirs: Lattice, ours: Lattice) -> npt.NDArray[np.bool_]:
    """[2, H / 8, W / 8], where the two disagree."""
    unused = (ours[..., 0] == NOTHING) & (theirs == 0).all(axis=-1)
    return (theirs != ours).any(axis=-1) & ~unused


def test_the_matrix_is_large() -> None:
    assert len(MATRIX) >= 150


@pytest.mark.parametrize("name", MATRIX)
def test_all_vectors_equal_those_that_ffmpeg_exports(name: str, tmp_path: Path) -> None:
    path = MATRIX[name].encode(tmp_path / "clip.mp4")
    _, vectors = decoded(path)
    ours = pictures(path)
    assert ours.keys() == vectors.keys()
    seen = 0
    for pts, picture in sorted(ours.items()):
        theirs, own = exported_lattice(vectors[pts], *picture.coded_size), own_lattice(picture)
        wrong = differences(theirs, own)
        assert not wrong.any(), (picture, np.argwhere(wrong)[0], theirs[wrong][0], own[wrong][0])
        assert picture.damaged == 0
        assert not picture.missing_references
        seen += int((own[..., 0] != NOTHING).sum())
    assert seen > 0


def test_a_wrong_vector_would_be_seen(tmp_path: Path) -> None:
    path = MATRIX["high"].encode(tmp_path / "clip.mp4")
    _, vectors = decoded(path)
    picture = next(p for p in pictures(path).values() if p.kind == "P")
    theirs, own = exported_lattice(vectors[picture.number], *picture.coded_size), own_lattice(picture)
    place = tuple(np.argwhere(own[..., 0] != NOTHING)[3])
    own[place] += (1, 0)
    assert [tuple(found) for found in np.argwhere(differences(theirs, own))] == [place]
