"""Damaged and hostile input: nothing crashes, hangs or grows, and what is damaged says so."""

import random
import resource
import time
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip
from writer import write_stream
from writer_features import FEATURES

from himmel_bitstream import Picture, Stream, UnsupportedStream

PARAMS = (
    "bframes=3:ref=3:partitions=all:b-adapt=0",
    "cabac=0:bframes=2:direct=temporal",
    "tff=1:bframes=2:ref=2",
    "slices=3:bframes=1:weightp=2",
)


# Of the stream writer: pictures of one field, which x264 doesn't make.
FIELDS = ("cabac_paff", "field_temporal")


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> list[list[bytes]]:
    """Annex B packets of one small clip per entry of PARAMS, parameter sets included."""
    found = []
    for k, params in enumerate(PARAMS):
        path = Clip(params, size=(96, 80), num_frames=7).encode(tmp_path_factory.mktemp("hostile") / f"{k}.h264")
        with av.open(str(path)) as container:
            found.append([bytes(packet) for packet in container.demux(video=0) if packet.size])
    return found


@pytest.fixture(scope="module")
def victims(packets: list[list[bytes]]) -> list[list[bytes]]:
    """What is mutated: those clips, and pictures of one field."""
    return [*packets, *(write_stream(1, FEATURES[name]).units for name in FIELDS)]


def mutate(original: list[bytes], rng: random.Random) -> list[bytes]:
    """Flip bits, cut, swap or repeat packets, or splice one's bytes into another."""
    mutated = [bytearray(packet) for packet in original]
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(mutated))
        kind = rng.choice(("flip", "cut", "swap", "repeat", "splice", "header"))
        packet = mutated[at]
        if kind == "flip":
            for _ in range(rng.randint(1, 12)):
                if packet:
                    packet[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del packet[rng.randrange(len(packet) + 1) :]
        elif kind == "swap":
            other = rng.randrange(len(mutated))
            mutated[at], mutated[other] = mutated[other], mutated[at]
        elif kind == "repeat":
            mutated.insert(at, bytearray(packet))
        elif kind == "splice":
            donor = mutated[rng.randrange(len(mutated))]
            place = rng.randrange(len(packet) + 1)
            packet[place:place] = donor[: rng.randrange(len(donor) + 1)]
        elif len(packet) > 4:
            packet[rng.randrange(min(40, len(packet)))] = rng.randrange(256)
    return [bytes(packet) for packet in mutated]


def read(stream: Stream, sequence: list[bytes]) -> list[Picture]:
    """Push everything and ask every picture of bearable size for everything."""
    found = []
    for number, packet in enumerate(sequence):
        found += stream.push(packet, number=number, position=number)
    found += stream.flush()
    for picture in found:
        if np.prod(picture.coded_size) <= 1 << 20:
            picture.maps(cell=8)
            picture.vectors()
            picture.residual()
    return found


@pytest.mark.parametrize("part", range(10))
def test_a_thousand_mutations_neither_crash_nor_hang(part: int, victims: list[list[bytes]]) -> None:
    begin = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for seed in range(100 * part, 100 * part + 100):
        rng = random.Random(seed)
        try:
            read(Stream(), mutate(rng.choice(victims), rng))
        except UnsupportedStream:
            refused += 1
    assert refused < 50
    assert time.perf_counter() - begin < 60
    # Kilobytes on Linux: pictures of 96x80 justify little.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


@pytest.mark.parametrize("seed", range(20))
def test_damage_looks_the_same_each_time(seed: int) -> None:
    """Whatever earlier pictures left in memory: a second field may look at a first one's damaged macroblocks."""
    rng = random.Random(seed)
    whole = write_stream(seed, FEATURES["field_own_column"]).units
    cut = [
        unit[: rng.randint(len(unit) // 2, len(unit))] if k > 1 and k % 2 == 0 else unit for k, unit in enumerate(whole)
    ]
    found = []
    for before in (whole, cut, whole[::-1]):
        read(Stream(), before)
        pictures = read(Stream(), cut)
        assert any(picture.damaged for picture in pictures)
        found.append([(picture.number, picture.damaged, picture.vectors().tobytes()) for picture in pictures])
    assert found[0] == found[1] == found[2]


def test_a_slice_that_breaks_off_leaves_nothing_to_the_next_one(tmp_path: Path) -> None:
    """Wherever it is cut: blocks of its last macroblock, read but not finished, belong to no other."""
    path = Clip("cabac=0:slices=3:bframes=0:qp=14", size=(96, 80), num_frames=2).encode(tmp_path / "a.h264")
    with av.open(str(path)) as container:
        first, packet = (bytes(packet) for packet in container.demux(video=0) if packet.size)
    units = [b"\0\0\1" + unit for unit in packet.split(b"\0\0\1")[1:]]
    assert len(units) == 3
    right = read(Stream(), [first, packet])[1]
    others = right.macroblocks()["slice"].reshape(5, 6) > 0
    whole = right.maps(cell=16).planes[:, others]
    for length in range(12, len(units[0]), 3):
        picture = read(Stream(), [first, units[0][:length] + units[1] + units[2]])[1]
        assert np.array_equal(picture.maps(cell=16).planes[:, others], whole)


def test_a_cut_picture_is_marked_and_the_next_ones_go_on(packets: list[list[bytes]]) -> None:
    whole, cut = packets[0], list(packets[0])
    cut[3] = cut[3][: len(cut[3]) // 2]
    right, wrong = read(Stream(), whole), read(Stream(), cut)
    assert [picture.number for picture in wrong] == [picture.number for picture in right]
    assert wrong[3].damaged > 0
    assert right[3].damaged == 0
    later = [picture.number for picture in right if picture.kind == "P" and picture.number > 3]
    assert later
    for number in later:
        assert np.array_equal(right[number].vectors(), wrong[number].vectors())


@pytest.mark.parametrize("clip", range(len(PARAMS)))
def test_one_flipped_bit_is_noticed(clip: int, packets: list[list[bytes]]) -> None:
    """In CABAC always; in CAVLC some bits change one number and nothing after it."""
    right = {picture.number: picture for picture in read(Stream(), packets[clip])}
    assert not any(picture.is_damaged for picture in right.values())
    rng = random.Random(clip)
    changed = noticed = 0
    for _ in range(60):
        at = rng.randrange(len(packets[clip]))
        data = bytearray(packets[clip][at])
        behind_headers = data.rfind(b"\0\0\1") + 24  # of the last slice
        if behind_headers >= len(data):
            continue
        data[rng.randrange(behind_headers, len(data))] ^= 1 << rng.randrange(8)
        wrong = read(Stream(), [bytes(data) if k == at else packet for k, packet in enumerate(packets[clip])])
        for picture in wrong:
            if picture.number != at:
                # What is read from a damaged picture's vectors may be wrong, but its own data are all there.
                assert not picture.is_damaged
            elif not np.array_equal(picture.macroblocks(), right[at].macroblocks()):
                changed += 1
                noticed += picture.is_damaged
    assert changed > 20
    assert noticed == changed if "cabac=0" not in PARAMS[clip] else noticed > 0.7 * changed


def test_a_slice_that_is_missing_is_counted(packets: list[list[bytes]]) -> None:
    """Three slices of 5 rows of 6 macroblocks: without the second one, its macroblocks were not read."""
    first, second = packets[3][:2]
    units = [b"\0\0\1" + unit for unit in second.split(b"\0\0\1")[1:]]
    assert len(units) == 3
    whole = read(Stream(), [first, second])[1]
    share = whole.macroblocks()["slice"] == 1
    picture = read(Stream(), [first, units[0] + units[2]])[1]
    assert (whole.damaged, whole.broken_slices, whole.is_damaged) == (0, 0, False)
    assert (picture.damaged, picture.broken_slices, picture.is_damaged) == (share.sum(), 0, True)
    assert picture.num_macroblocks == 30
    maps = picture.maps(window=(0, 0, 96, 80))
    assert np.array_equal(maps.covered + maps.intra == 0, share.reshape(5, 6))


@pytest.mark.parametrize("clip", range(len(PARAMS)))
def test_a_packet_cut_anywhere_is_marked(clip: int, packets: list[list[bytes]]) -> None:
    """Behind the parameter sets (below 100 bytes here) no cut leaves a picture that claims to be whole."""
    whole, marked, lost = packets[clip], 0, 0
    for number, packet in enumerate(whole):
        for length in range(100 if number == 0 else 8, len(packet) - 3, max(1, len(packet) // 40)):
            stream = Stream()
            sequence = [packet[:length] if k == number else data for k, data in enumerate(whole)]
            found = [picture for k, data in enumerate(sequence) for picture in stream.push(data, number=k)]
            cut = [picture for picture in found if picture.number == number]
            # Cut before the end of its first slice header, a packet gives no picture at all.
            lost += not cut
            for picture in cut:
                picture.parse()
                assert picture.damaged > 0 or picture.broken_header, (number, length, len(packet))
                marked += 1
    assert marked > 100
    assert lost < marked


def test_lost_pictures_are_noticed(packets: list[list[bytes]]) -> None:
    pictures = read(Stream(), [packet for k, packet in enumerate(packets[0]) if k not in (1, 4)])
    assert any(picture.gap or picture.missing_references for picture in pictures)


def test_rubbish_gives_no_pictures() -> None:
    rng = random.Random(0)
    for _ in range(50):
        assert read(Stream(), [rng.randbytes(200) for _ in range(5)]) == []
    assert Stream().push(b"", number=0) == []


def test_arguments_out_of_range_are_one_sentence(packets: list[list[bytes]]) -> None:
    stream = Stream()
    picture = stream.push(packets[0][0], number=0)[0]
    for cell in (0, 2, 12, -16):
        with pytest.raises(ValueError, match="cell"):
            picture.maps(cell=cell)
    with pytest.raises(ValueError, match="window"):
        picture.maps(window=(90, 0, 96, 80))
    with pytest.raises(ValueError, match="shape"):
        picture.maps(out=np.empty((3, 5, 6), np.float32))


def test_a_picture_that_was_not_kept_says_so(packets: list[list[bytes]]) -> None:
    stream = Stream()
    pictures = [p for k, packet in enumerate(packets[0]) for p in stream.push(packet, number=k, keep=False)]
    dropped = [picture for picture in pictures if not picture.reference]
    assert dropped
    for ask in (Picture.vectors, lambda p: p.damaged, lambda p: p.quantiser, lambda p: p.is_damaged):
        with pytest.raises(ValueError, match="keep=False"):
            ask(dropped[0])
    assert dropped[0].bits > 0


def test_a_file_that_ends_early_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = Clip("bframes=2", num_frames=12).encode(tmp_path / "a.h264")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with av.open(str(path)) as container:
        pictures = read(Stream(), [bytes(packet) for packet in container.demux(video=0) if packet.size])
    assert len(pictures) >= 4
    assert pictures[-1].damaged > 0
    assert not any(picture.damaged for picture in pictures[:-1])
