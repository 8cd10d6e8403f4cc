"""Streams and pictures: distances, random access, threads, containers."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, pictures
from x264 import field_order

from himmel_bitstream import Picture, Stream


def packets_of(path: Path) -> tuple[bytes | None, list[bytes], list[int]]:
    """Extradata, packets, and each packet's place in presentation order."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        found = [(bytes(packet), packet.pts) for packet in container.demux(video) if packet.size]
        order = sorted(pts for _, pts in found)
        return video.codec_context.extradata, [data for data, _ in found], [order.index(pts) for _, pts in found]


def test_distances_are_those_of_a_known_structure(tmp_path: Path) -> None:
    """I B B P B B P: P pictures look 3 back, B pictures 1 or 2 to either side."""
    path = Clip("bframes=2:b-adapt=0:b-pyramid=none:ref=1:keyint=30:scenecut=0:weightp=0", num_frames=13).encode(
        tmp_path / "a.mp4"
    )
    for picture in pictures(path).values():
        vectors, place = picture.vectors(), int(picture.position)
        past, future = vectors[vectors["list"] == 0], vectors[vectors["list"] == 1]
        if picture.kind == "P":
            assert set(vectors["distance"]) == {3.0}
            assert not len(future)
        elif picture.kind == "B":
            assert set(past["distance"]) <= {float(place % 3)}
            assert set(future["distance"]) <= {float(3 - place % 3)}
        maps = picture.maps()
        if picture.kind == "P":
            assert maps.past_distance == 3
            assert maps.future_distance == 0


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_order_counts_tell_which_field_comes_first(order: str, tmp_path: Path) -> None:
    path = Clip(f"{order}=1:bframes=2", size=(64, 64), num_frames=5).encode(tmp_path / "a.mp4")
    assert field_order(pictures(path).values()) == {order}


def test_speed_does_not_depend_on_the_distance(tmp_path: Path) -> None:
    """The texture drifts 1.5 right in source coordinates, so that content moves 1.5 to the left a picture."""
    path = Clip("bframes=3:b-adapt=0:ref=4:b-pyramid=normal", size=(176, 144), num_frames=9).encode(tmp_path / "a.mp4")
    speeds: dict[float, list[float]] = {}
    for picture in pictures(path).values():
        maps = picture.maps()
        for speed, valid, distance in (
            (maps.past, maps.past_valid, maps.past_distance),
            (maps.future, maps.future_valid, maps.future_distance),
        ):
            if (valid > 0.9).sum() > 10:
                speeds.setdefault(round(distance), []).append(float(np.median(speed[0][valid > 0.9])))
    assert len(speeds) >= 3
    for found in speeds.values():
        assert np.median(found) == pytest.approx(-1.5, abs=0.5)


@pytest.mark.parametrize(
    "params", ["bframes=3:direct=temporal:b-pyramid=normal", "tff=1:bframes=2", "cabac=0:bframes=2"]
)
def test_any_order_and_any_threads_give_the_same_bytes(params: str, tmp_path: Path) -> None:
    extradata, packets, places = packets_of(Clip(params, num_frames=16).encode(tmp_path / "a.mp4"))

    def fresh() -> list[Picture]:
        stream = Stream(extradata)
        found = []
        for number, (packet, place) in enumerate(zip(packets, places, strict=True)):
            found += stream.push(packet, number=number, position=place)
        return found + stream.flush()

    def everything(picture: Picture) -> tuple[bytes, bytes, bytes]:
        return picture.maps(cell=8).planes.tobytes(), picture.vectors().tobytes(), picture.macroblocks().tobytes()

    expected = [everything(picture) for picture in fresh()]
    backwards = fresh()
    assert [everything(picture) for picture in reversed(backwards)][::-1] == expected
    for workers in (2, 4):
        with ThreadPoolExecutor(workers) as pool:
            assert list(pool.map(everything, fresh())) == expected


def test_one_picture_costs_no_other_but_its_colocated_one(tmp_path: Path) -> None:
    """Asked alone, with all others only walked, each picture is what it is among all."""
    extradata, packets, places = packets_of(Clip("bframes=3:direct=temporal", num_frames=14).encode(tmp_path / "a.mp4"))
    whole = {p.number: p.vectors() for p in pictures(tmp_path / "a.mp4").values()}
    by_place = {k: vectors for k, (_, vectors) in enumerate(sorted(whole.items()))}
    for wanted in range(len(packets)):
        stream = Stream(extradata)
        for number in range(wanted + 1):
            found = stream.push(packets[number], number=number, position=places[number], keep=number == wanted)
        alone, expected = found[-1].vectors(), by_place[places[wanted]]
        for name in ("x", "y", "mv_x", "mv_y", "list", "ref_idx", "distance"):
            assert np.array_equal(alone[name], expected[name])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv", ".h264"])
def test_every_container_gives_the_same_vectors(suffix: str, tmp_path: Path) -> None:
    clip = Clip("bframes=2:ref=2", num_frames=10)
    _, expected, _ = packets_of(clip.encode(tmp_path / "a.mp4"))
    reference = [p.vectors()[["x", "y", "mv_x", "mv_y"]] for p in pictures(tmp_path / "a.mp4").values()]
    extradata, packets, _ = (
        packets_of(clip.encode(tmp_path / f"b{suffix}")) if suffix != ".h264" else _raw(clip, tmp_path)
    )
    assert len(packets) == len(expected)
    stream = Stream(extradata)
    found = [p for k, packet in enumerate(packets) for p in stream.push(packet, number=k)] + stream.flush()
    for mine, theirs in zip(found, reference, strict=True):
        assert np.array_equal(mine.vectors()[["x", "y", "mv_x", "mv_y"]], theirs)


def _raw(clip: Clip, folder: Path) -> tuple[bytes | None, list[bytes], list[int]]:
    with av.open(str(clip.encode(folder / "b.h264"))) as container:
        return None, [bytes(packet) for packet in container.demux(video=0) if packet.size], []


def _avcc(extradata: bytes, packets: list[bytes], length_size: int) -> tuple[bytes, list[bytes]]:
    """The same record and packets with NAL units behind lengths of another size."""
    record = bytearray(extradata)
    record[4] = record[4] & ~3 | (length_size - 1)
    changed = []
    for packet in packets:
        at, units = 0, b""
        while at < len(packet):
            size = int.from_bytes(packet[at : at + 4], "big")
            units += size.to_bytes(length_size, "big") + packet[at + 4 : at + 4 + size]
            at += 4 + size
        changed.append(units)
    return bytes(record), changed


def _annex_b(extradata: bytes, packets: list[bytes]) -> tuple[bytes, list[bytes]]:
    """The same parameter sets and packets with start codes."""
    sizes, at = [], 6
    sizes.append(int.from_bytes(extradata[at : at + 2], "big"))
    sps = extradata[at + 2 : at + 2 + sizes[0]]
    at += 2 + sizes[0] + 1
    sizes.append(int.from_bytes(extradata[at : at + 2], "big"))
    pps = extradata[at + 2 : at + 2 + sizes[1]]
    _, bare = _avcc(extradata, packets, 4)
    changed = []
    for packet in bare:
        at, units = 0, b""
        while at < len(packet):
            size = int.from_bytes(packet[at : at + 4], "big")
            units += b"\0\0\0\1" + packet[at + 4 : at + 4 + size]
            at += 4 + size
        changed.append(units)
    return b"\0\0\0\1" + sps + b"\0\0\0\1" + pps, changed


@pytest.mark.parametrize("stored", ["4", "2", "Annex B"])
@pytest.mark.parametrize("second", ["8x8dct=0:bframes=0", "cabac=0:bframes=2", "tff=1"])
def test_parameter_sets_may_change_in_the_middle(second: str, stored: str, tmp_path: Path) -> None:
    """Each part is read by its own sets, which have the same numbers, as if it were alone. Lengths change too."""
    parts = []
    for k, clip in enumerate((Clip("bframes=2", num_frames=8), Clip(second, size=(128, 64), num_frames=8))):
        extradata, packets, _ = packets_of(clip.encode(tmp_path / f"{k}.mp4"))
        assert extradata is not None
        parts.append((extradata, packets))
    alone = []
    for extradata, packets in parts:
        stream = Stream(extradata)
        alone += [p for k, packet in enumerate(packets) for p in stream.push(packet, number=k)] + stream.flush()
    if stored == "Annex B":
        parts[1] = _annex_b(*parts[1])
    else:
        parts[1] = _avcc(*parts[1], int(stored))
    stream = Stream()
    together = []
    for extradata, packets in parts:
        stream.set_extradata(extradata)
        together += [p for k, packet in enumerate(packets) for p in stream.push(packet, number=k)]
    together += stream.flush()
    assert len(together) == len(alone) == 16
    for mine, theirs in zip(together, alone, strict=True):
        assert not mine.is_damaged
        assert mine.coded_size == theirs.coded_size
        assert np.array_equal(mine.macroblocks(), theirs.macroblocks())
        names = ["x", "y", "mv_x", "mv_y", "ref_number", "distance"]
        assert np.array_equal(mine.vectors()[names], theirs.vectors()[names])


def test_the_wrong_parameter_sets_are_noticed(tmp_path: Path) -> None:
    """Pictures of a second part read by the first one's sets break off."""
    (first, _, _), (_, packets, _) = (
        packets_of(Clip(params, num_frames=4).encode(tmp_path / "a.mp4"))
        for params in ("bframes=0", "bframes=0:8x8dct=0")
    )
    stream = Stream(first)
    assert all(p.is_damaged for k, packet in enumerate(packets) for p in stream.push(packet, number=k))


def test_extradata_that_cannot_be_read_change_nothing(tmp_path: Path) -> None:
    extradata, packets, _ = packets_of(Clip("bframes=0", num_frames=2).encode(tmp_path / "a.mp4"))
    stream = Stream(extradata)
    with pytest.raises(ValueError, match="avcC"):
        stream.set_extradata(b"neither")
    assert not any(p.is_damaged for k, packet in enumerate(packets) for p in stream.push(packet, number=k))


def test_quantiser_and_bits_of_a_picture(tmp_path: Path) -> None:
    """A constant quantiser is x264's setting: 3 less for I pictures than for P, whose size is 1.4 (ipratio)."""
    extradata, packets, _ = packets_of(Clip("qp=30:bframes=0:ipratio=1.4142", num_frames=4).encode(tmp_path / "a.mp4"))
    stream = Stream(extradata)
    found = [p for k, packet in enumerate(packets) for p in stream.push(packet, number=k)]
    assert [p.quantiser for p in found] == pytest.approx([27, 30, 30, 30])
    # Each packet is its slices behind their lengths, but the first, which begins with x264's message.
    assert [p.bits for p in found[1:]] == [8 * (len(packet) - 4) for packet in packets[1:]]
    for picture in found:
        assert picture.quantiser == pytest.approx(picture.macroblocks()["qp"].mean())
        assert picture.macroblocks()["bits"].sum() <= picture.bits


def test_bits_and_shares_add_up(tmp_path: Path) -> None:
    extradata, packets, _ = packets_of(Clip("bframes=2", num_frames=8).encode(tmp_path / "a.mp4"))
    stream = Stream(extradata)
    for number, packet in enumerate(packets):
        for picture in stream.push(packet, number=number):
            maps = picture.maps(window=(0, 0, *picture.coded_size))
            assert np.allclose(maps.covered + maps.intra, 1)
            assert (maps.skip <= maps.covered + 1e-6).all()
            spent = picture.macroblocks()["bits"].sum()
            assert maps.bits.sum() == pytest.approx(spent, rel=1e-4)
            # What the macroblocks don't account for is headers, escapes and parameter sets.
            assert 0 <= 8 * len(packet) - spent < 8 * 1200
