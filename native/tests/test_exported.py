"""Every vector of every picture against FFmpeg's export, on lively scenes in all that x264 can write.

How FFmpeg merges and drops vectors, and therefore what is compared, is in `exported`.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from exported import decode, differences, mismatches, parse
from streams import CROSSED, RECIPES, expected_report, report
from x264 import field_order

import himmel_bitstream
from himmel_bitstream import Picture


@pytest.mark.parametrize("name", RECIPES | CROSSED)
def test_all_vectors_are_those_that_ffmpeg_exports(name: str, tmp_path: Path) -> None:
    recipe = (RECIPES | CROSSED)[name]
    path = recipe.encode(tmp_path / f"stream{recipe.suffix}")
    said = report(path)
    assert {key: said.get(key) for key in expected_report(recipe.params)} == expected_report(recipe.params)
    pictures = parse(path)
    assert len(pictures) == recipe.count
    assert list(mismatches(path)) == []
    assert not any(picture.missing_references for picture in pictures.values())
    assert field_order(pictures.values()) == {next((o for o in ("tff", "bff") if o in recipe.params), "")}
    assert any(len(picture.vectors()) for picture in pictures.values()) == ("keyint=1" not in _spelt(recipe.params))


def _spelt(params: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in params.items()]


def test_there_are_many_streams() -> None:
    assert len(RECIPES) >= 150
    assert len(CROSSED) >= 75
    assert not RECIPES.keys() & CROSSED.keys()


def _encoded(name: str, folder: Path) -> dict[int, Picture]:
    return parse(RECIPES[name].encode(folder / f"{name}{RECIPES[name].suffix}"))


@pytest.mark.parametrize("fields", [False, True])
def test_the_streams_hold_every_kind_of_block(fields: bool, tmp_path: Path) -> None:
    """What the comparison proves is worth as much as what occurs in the streams."""
    shapes: Counter[tuple[int, int, int, bool]] = Counter()
    kinds: Counter[str] = Counter()
    fractions, references = set(), set()
    names = ("b-temporal-cabac", "p-4x4-cabac", "still-cabac", "smooth-cabac", "pcm-cabac")
    if fields:
        names = ("tff-refs-cabac", "tff-still-cabac", "tff-smooth-cabac", "tff-pcm-cabac")
    for name in names:
        for picture in _encoded(name, tmp_path).values():
            vectors, flags = picture.vectors(), picture.macroblocks()["flags"]
            shapes.update(zip(vectors["w"], vectors["h"], vectors["list"], vectors["field"] > 0, strict=True))
            fractions |= set(zip(vectors["mv_x"] % 4, vectors["mv_y"] % 4, strict=True))
            references |= set(vectors["ref_idx"])
            for kind in ("INTRA16x16", "INTRA_NXN", "PCM", "SKIP", "DIRECT", "TRANSFORM8x8", "FIELD"):
                kinds[kind] += int((flags & getattr(himmel_bitstream, kind) != 0).sum())
    small = {(8, 4), (4, 8), (4, 4)}
    for w, h in {(16, 16), (16, 8), (8, 16), (8, 8)} | small:
        # x264 writes small partitions in P pictures alone.
        for list_ in (0,) if (w, h) in small else (0, 1):
            for field in (False, True) if fields else (False,):
                assert shapes[w, h, list_, field] > 0, (w, h, list_, field)
    assert len(fractions) == 16
    assert len(references) >= 4
    assert all(count > 0 for kind, count in kinds.items() if fields or kind != "FIELD"), kinds


@pytest.mark.parametrize("name", ["p-4x4-cavlc", "b-temporal-cabac", "tff-spatial-cabac", "still-cabac"])
def test_any_wrong_vector_is_seen(name: str, tmp_path: Path) -> None:
    """A vector that is a quarter sample off, missing or in the other list is a difference, and only there."""
    recipe = RECIPES[name]
    path = recipe.encode(tmp_path / f"stream{recipe.suffix}")
    theirs, ours = decode(path), parse(path)
    rng = np.random.default_rng(5)
    for number in sorted(ours)[1:5]:
        picture = ours[number]
        vectors = picture.vectors()
        # All but the later parts of small partitions, which FFmpeg does not export.
        row = vectors["mb"] // (picture.coded_size[0] // 16)
        inside = np.where(vectors["field"] > 0, (vectors["y"] - 16 * (row & ~1)) // 2, vectors["y"])
        exported = np.flatnonzero((vectors["x"] % 8 == 0) & (inside % 8 == 0))
        for k in rng.choice(exported, 6, replace=False):
            place = f"macroblock {vectors['mb'][k]} "
            # Zero vectors may also mean lists that are not used: nothing shows which it is.
            zero = not (vectors["mv_x"][k] or vectors["mv_y"][k])
            for change in ("mv_x", "mv_y", "list"):
                spoilt = vectors.copy()
                spoilt[change][k] ^= 1
                if change == "list" and (zero or _claimed_twice(spoilt)):
                    continue
                found = list(differences(theirs[number], picture, spoilt))
                assert found
                assert all(text.startswith(place) for text in found)
            assert zero or list(differences(theirs[number], picture, np.delete(vectors, k)))


def _claimed_twice(vectors: np.ndarray) -> bool:
    place = vectors[["mb", "x", "y", "list"]]
    return len(np.unique(place)) < len(place)
