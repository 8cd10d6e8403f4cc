"""Streams that no encoder at hand writes: field pictures (in CABAC too), memory management, gaps, long-term, weights.

Lists, marking and order counts are held against what was written; vectors, references and residual together against
FFmpeg's decoded samples, which prediction plus residual must give. FFmpeg must decode every stream without complaint,
so the writer is tested as well.
"""

from collections import defaultdict

import pytest
from synthetic import decode, list_differences, packets, read, sample_differences
from writer import write_stream
from writer_arithmetic import ArithmeticEncoder
from writer_features import FEATURES, NOT_FOR_FFMPEG, WARM

JUDGED = [name for name in FEATURES if name not in NOT_FOR_FFMPEG]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", JUDGED)
def test_prediction_plus_residual_is_the_decoded_picture(name: str, seed: int) -> None:
    stream = write_stream(seed, FEATURES[name])
    pictures = read(stream)
    assert list(list_differences(stream, pictures)) == []
    frames, log = decode(stream)
    assert log == []
    assert list(sample_differences(stream, pictures, frames, WARM.get(name, 0))) == []


# All but 276, end_of_slice_flag, in 4:2:0 (Table 9-34); mb_type to ref_idx of P and B are not in I slices.
INTRA_CONTEXTS = {*range(3, 11), *range(60, 276), *range(277, 460)}
INTER_CONTEXTS = {*range(11, 276), *range(277, 460)}


def test_cabac_streams_use_every_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """So FFmpeg, which decodes these streams above, confirms the constants of every context, of fields as well."""
    used: dict[int, set[int]] = defaultdict(set)
    encode = ArithmeticEncoder.decision

    def decision(encoder: ArithmeticEncoder, context: int, value: int) -> None:
        used[encoder.initialisation].add(context)
        encode(encoder, context, value)

    monkeypatch.setattr(ArithmeticEncoder, "decision", decision)
    for name in JUDGED:
        if name.startswith("cabac"):
            for seed in range(3):
                write_stream(seed, FEATURES[name])
    assert used == {0: INTRA_CONTEXTS, 1: INTER_CONTEXTS, 2: INTER_CONTEXTS, 3: INTER_CONTEXTS}


@pytest.mark.parametrize("seed", range(100, 140))
@pytest.mark.parametrize("name", ["every_frame", "every_laced", "every_mbaff", *NOT_FOR_FFMPEG])
def test_lists_and_order_counts_are_those_written(name: str, seed: int) -> None:
    stream = write_stream(seed, FEATURES[name])
    assert list(list_differences(stream, read(stream))) == []


# FFmpeg's MPEG-TS writer repeats the first parameter sets before every IDR picture: these streams never change theirs.
@pytest.mark.parametrize("container", ["pairs", "mp4", "matroska", "mpegts"])
@pytest.mark.parametrize("name", ["slices", "field_temporal", "paff_marking", "paff_mbaff", "cabac_or_not"])
def test_every_way_to_pack_gives_the_same(name: str, container: str) -> None:
    stream = write_stream(5, FEATURES[name])
    raw, other = read(stream), read(stream, container)
    assert list(list_differences(stream, other)) == []
    frame = {p.number: k for k, p in enumerate(raw)}, {p.number: k for k, p in enumerate(other)}
    for mine, theirs in zip(raw, other, strict=True):
        a, b = mine.vectors().copy(), theirs.vectors().copy()
        for vectors, place in zip((a, b), frame, strict=True):
            vectors["ref_number"] = [place[int(n)] for n in vectors["ref_number"]]
            vectors["distance"] = 0  # packets are numbered otherwise
        assert a.tolist() == b.tolist()


def test_fields_come_in_packets_of_their_own() -> None:
    stream = write_stream(0, FEATURES["field_b"])
    for container in ("h264", "mp4", "matroska", "mpegts"):
        assert len(packets(stream, container)[1]) == 2 * len(stream.sizes) == len(stream.pictures)
    assert len(packets(stream, "pairs")[1]) == len(stream.sizes)


@pytest.mark.parametrize("name", ["b_temporal", "paff_temporal", "mbaff_temporal", "every_mbaff"])
def test_order_of_asking_does_not_matter(name: str) -> None:
    stream = write_stream(3, FEATURES[name])
    forwards = [p.vectors().tobytes() for p in read(stream)]
    backwards = [p.vectors().tobytes() for p in reversed(read(stream))]
    assert forwards == backwards[::-1]


def test_the_same_seed_writes_the_same_stream() -> None:
    assert write_stream(4, FEATURES["every_laced"]).data == write_stream(4, FEATURES["every_laced"]).data
