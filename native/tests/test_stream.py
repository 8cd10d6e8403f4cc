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
