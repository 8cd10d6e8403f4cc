"""What the codec spent, held against packets and against the maps of every picture."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from himmel.errors import UsageError
from himmel.video import Video, spending

Encode = Callable[..., Path]
Pan = Callable[..., Iterator[npt.NDArray[np.uint8]]]


@pytest.fixture
def right_half_moves(pan: Pan) -> list[npt.NDArray[np.uint8]]:
    """60 pictures of 192 x 128 whose left half stands still."""
    first = next(pan(1, (96, 128), (0, 0), 5))
    return [np.concatenate([first, moving], axis=1) for moving in pan(60, (96, 128), (3, 1), 6)]


def packet_bits(path: Path) -> dict[int, int]:
    """Bits of each picture by its place in presentation order."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    return {place: 8 * packet.size for place, packet in enumerate(sorted(packets, key=lambda one: one.pts))}


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_bits_are_those_of_the_packets(encode_clip: Encode, codec: str) -> None:
    path = encode_clip("a.mp4", codec=codec, options={"g": "12"}, num_frames=40)
    video, bits = Video(path), packet_bits(path)
    found = video.spending([0, 7, 30])
    assert found.bits.tolist() == [bits[0], bits[7], bits[30]]
    assert found.stretch_bits == pytest.approx(
        [bits[0], np.mean([bits[k] for k in range(1, 8)]), np.mean([bits[k] for k in range(8, 31)])]
    )


def test_a_second_field_counts_with_its_first(encode_clip: Encode) -> None:
    index = Video(encode_clip("a.mp4", num_frames=6))._file.index
    second = np.zeros(6, np.bool_)
    second[3] = True
    sizes = 8 * index.size.astype(np.int64)
    found = spending.picture_bits(replace(index, second=second))
    assert found.tolist() == [*sizes[:2], sizes[2] + sizes[3], 0, *sizes[4:]]


def test_a_group_goes_from_one_keyframe_to_the_next(encode_clip: Encode) -> None:
    path = encode_clip("a.mp4", options={"g": "12", "bf": "0", "sc_threshold": "0"}, num_frames=40)
    bits = packet_bits(path)
    groups = [np.mean([bits[k] for k in range(first, min(first + 12, 40))]) for first in (0, 12, 24, 36)]
    assert Video(path).spending([0, 11, 12, 39]).group_bits == pytest.approx(
        [groups[0], groups[0], groups[1], groups[3]]
    )


def test_maps_are_means_of_the_pictures_looked_at(encode_clip: Encode) -> None:
    video = Video(encode_clip("a.mp4", options={"g": "12", "bf": "2"}, num_frames=40))
    pictures = list(video.pictures(cell=16))
    found = video.spending([5, 20], steps=4096, cell=16)
    there = [pictures[k] for k in range(6, 21) if not pictures[k].keyframe]
    assert found.num_read == 16
    assert found.backend == "bitstream"
    energy = np.mean([one.residual[0] ** 2 * one.covered for one in there], axis=0)
    np.testing.assert_allclose(found.energy[1], energy, rtol=1e-5)
    np.testing.assert_allclose(found.energy[0], pictures[5].residual[0] ** 2 * pictures[5].covered, rtol=1e-5)
    # The texture moves 2 right and 1 down a picture.
    assert np.median(found.motion[1]) == pytest.approx(np.hypot(2, 1), rel=0.1)
    assert found.intra[1] < 0.3


def test_a_stretch_of_keyframes_tells_where_their_bits_are(encode_clip: Encode) -> None:
    path = encode_clip("a.mp4", options={"g": "1"}, num_frames=6)
    found = Video(path).spending([0, 3])
    assert found.backend == "bitstream"
    assert np.isnan(found.intra).all()
    assert not found.energy.any()
    # All but the headers are slice data.
    assert (found.place_bits.sum((1, 2)) / found.bits).tolist() == pytest.approx([1, 1], abs=0.2)
    assert found.place_bits.std() > 0


def test_the_moving_half_costs_more(encode_clip: Encode, right_half_moves: list[npt.NDArray[np.uint8]]) -> None:
    found = Video(encode_clip("half.mp4", right_half_moves)).spending([0, 20, 40], cell=16)
    for plane in (found.energy[1:], found.motion[1:], found.place_bits[1:]):
        assert plane[..., 6:].mean() > 5 * plane[..., :6].mean()


def test_maps_are_turned_as_the_picture_is_shown(
    encode_clip: Encode, right_half_moves: list[npt.NDArray[np.uint8]]
) -> None:
    upright = Video(encode_clip("up.mp4", right_half_moves)).spending([0, 20, 40], cell=16)
    turned = Video(encode_clip("turned.mp4", right_half_moves, rotation=90)).spending([0, 20, 40], cell=16)
    assert (turned.grid, turned.width, turned.height) == ((12, 8), 128, 192)
    for name in ("energy", "motion", "place_bits"):
        maps = getattr(upright, name)
        np.testing.assert_allclose(getattr(turned, name), np.rot90(maps, 1, (1, 2)), rtol=1e-5)


def test_without_a_parser_places_count_alike_and_a_note_says_so(
    encode_clip: Encode, right_half_moves: list[npt.NDArray[np.uint8]]
) -> None:
    video = Video(encode_clip("half.mp4", right_half_moves, codec="libx265"))
    found = video.spending([0, 20, 40])
    assert found.backend is None
    assert "not known without decoding (hevc)" in found.notes[0]
    assert found.num_read == 0
    assert not found.energy.any()
    assert np.ptp(found.place_bits, axis=(1, 2)).max() == 0
    assert found.place_bits.sum((1, 2)) == pytest.approx(found.bits, rel=1e-5)


@pytest.mark.parametrize(("codec", "backend"), [("libx265", "proxy"), ("mpeg4", "libav")])
def test_what_cannot_be_parsed_is_decoded_where_asked_for(
    encode_clip: Encode, right_half_moves: list[npt.NDArray[np.uint8]], codec: str, backend: str
) -> None:
    found = Video(encode_clip("half.mp4", right_half_moves, codec=codec)).spending([0, 20, 40], decode=True, cell=16)
    assert found.backend == backend
    assert "estimated by decoding" in found.notes[0]
    assert found.motion[1:, :, 6:].mean() > 5 * found.motion[1:, :, :6].mean()


def test_threads_change_nothing(encode_clip: Encode) -> None:
    video = Video(encode_clip("a.mp4", options={"g": "6"}, num_frames=60))
    one, other = video.spending([5, 20, 50], threads=1), video.spending([5, 20, 50], threads=3)
    for name in ("energy", "motion", "place_bits", "intra"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_no_more_pictures_are_looked_at_than_the_bound(encode_clip: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "MOST_READ", 9)
    video = Video(encode_clip("a.mp4", num_frames=40))
    assert video.spending([0, 20, 39], steps=100).num_read == 7
    assert video.spending(list(range(20)), steps=100).num_read == 20


@pytest.mark.parametrize("frames", [[], [3, 3], [4, 2], [-1, 2], [0, 40], [0.5], ["0"], [[0, 1]]])
def test_frames_that_are_none_are_refused(encode_clip: Encode, frames: list[int]) -> None:
    with pytest.raises(UsageError, match="frames="):
        Video(encode_clip("a.mp4", num_frames=40)).spending(frames)


def test_a_cell_that_does_not_exist_is_refused(encode_clip: Encode) -> None:
    with pytest.raises(UsageError, match="cell=5 does not exist"):
        Video(encode_clip("a.mp4", num_frames=4)).spending([0], cell=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "cell"), [((320, 240), 16), ((1280, 720), 32), ((1080, 1920), 32), ((7680, 4320), 64)]
)
def test_cells_are_as_small_as_sixty_across_allow(size: tuple[int, int], cell: int) -> None:
    assert spending.cell_for(*size) == cell
