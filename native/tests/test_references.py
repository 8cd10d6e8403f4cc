"""Reference lists, order counts and distances of structures that are known beforehand."""

from pathlib import Path

import av
import numpy as np
from clips import pictures
from streams import Recipe

from himmel_bitstream import Picture, Stream

# By place in presentation order, of the pyramid I b B b P b B b P: by hand from 8.2.4.2, list 0 looks back first and
# list 1 ahead. In place 8 x264 modifies the list (7.3.3.1), so that the nearest comes before the last decoded.
PYRAMID: dict[int, tuple[str, list[int], list[int]]] = {
    0: ("I", [], []),
    4: ("P", [0], []),
    2: ("B", [0], [4]),
    1: ("B", [0], [2, 4]),
    3: ("B", [2, 0], [4]),
    8: ("P", [4, 2, 0], []),
    6: ("B", [4, 2, 0], [8]),
    5: ("B", [4], [6, 8]),
    7: ("B", [6, 4], [8]),
}


def encoded(params: str, path: Path, count: int, scene: str = "motion") -> list[Picture]:
    """Pictures in presentation order."""
    values = dict(p.split("=") for p in f"b-adapt=0 scenecut=0 keyint=60 weightp=0 {params}".split())
    found = pictures(Recipe(values, scene=scene, count=count).encode(path))
    return sorted(found.values(), key=lambda picture: picture.position)


def test_lists_of_a_known_pyramid(tmp_path: Path) -> None:
    shown = encoded("bframes=3 b-pyramid=normal ref=4", tmp_path / "a.mp4", 9)
    places = {picture.number: int(picture.position) for picture in shown}
    for place, (kind, past, future) in PYRAMID.items():
        picture = shown[place]
        assert picture.kind == kind
        assert picture.poc == 2 * place
        assert picture.reference == (place % 2 == 0)
        assert picture.idr == (place == 0)
        (part,) = picture.slices()
        found = [[places[number] for number, *_ in entries] for entries in part.ref_lists]
        assert found == [past, future]
        for number, structure, poc, long_term, missing in part.ref_lists[0] + part.ref_lists[1]:
            assert (structure, poc, long_term, missing) == (3, 2 * places[number], False, False)


def test_every_vector_names_its_reference_and_distance(tmp_path: Path) -> None:
    shown = encoded("bframes=3 b-pyramid=normal ref=4", tmp_path / "a.mp4", 9)
    places = {picture.number: int(picture.position) for picture in shown}
    for picture in shown:
        lists = picture.slices()[0].ref_lists
        for vector in picture.vectors():
            number, structure, poc, *_ = lists[vector["list"]][vector["ref_idx"]]
            assert (vector["ref_number"], vector["ref_structure"], vector["ref_poc"]) == (number, structure, poc)
            assert vector["distance"] == abs(places[number] - picture.position)


def test_fields_are_half_an_interval_apart(tmp_path: Path) -> None:
    """8.4.2.1: index 2 i of a field macroblock is the field of entry i with its own parity, 2 i + 1 the other one."""
    shown = encoded("bframes=1 ref=2 tff=1 partitions=all", tmp_path / "a.mp4", 9, "fields")
    by_number = {picture.number: picture for picture in shown}
    seen = set()
    for picture in shown:
        assert picture.mbaff
        first, second = picture.poc_fields
        assert (first, second) == (2 * picture.position, 2 * picture.position + 1)
        lists = picture.slices()[0].ref_lists
        for vector in picture.vectors():
            field, index = int(vector["field"]), int(vector["ref_idx"])
            number, *_ = lists[vector["list"]][index >> 1 if field else index]
            assert vector["ref_number"] == number
            reference = by_number[number]
            if field:
                structure = 3 - field if index & 1 else field
                assert vector["ref_structure"] == structure
                assert vector["ref_poc"] == reference.poc_fields[structure - 1]
                apart = reference.poc_fields[structure - 1] - picture.poc_fields[field - 1]
                assert vector["distance"] == abs(apart) / 2
                seen.add((field, structure))
            else:
                assert vector["ref_structure"] == 3
                assert vector["distance"] == abs(reference.position - picture.position)
    assert seen == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_positions_count_more_than_order_counts(tmp_path: Path) -> None:
    """Distances come in the caller's units: positions 2.5 apart make them 2.5 times as long."""
    path = tmp_path / "a.mp4"
    shown = encoded("bframes=2 b-pyramid=none ref=2", path, 7)
    assert {float(d) for picture in shown for d in picture.vectors()["distance"]} == {1.0, 2.0, 3.0, 6.0}
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        stream, stretched = Stream(video.codec_context.extradata), []
        for packet in container.demux(video):
            if packet.size:
                place = next(p.position for p in shown if p.number == packet.pts)
                stretched += stream.push(bytes(packet), number=packet.pts, position=10 + 2.5 * place)
    for far in stretched + stream.flush():
        near = next(p for p in shown if p.number == far.number)
        assert np.array_equal(2.5 * near.vectors()["distance"], far.vectors()["distance"])
