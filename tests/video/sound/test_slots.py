"""The sound of intervals, held against PyAV's packets and against FFmpeg's decoder."""

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from himmel.video import Decomposition, Video, save_streams
from himmel.video.sound import track
from sound_clips import RATE, begins_at, decoded, level, swelling, write_sound

Encode = Callable[..., Path]
BYTES, LOUDNESS, COVERED, HEARD = range(4)


def _read(path: Path, *, anchors: int = 2, **options: Any) -> Decomposition:
    return Video(path).decompose(num_anchors=anchors, anchor_mode="exact", steps_per_interval=1, sound=True, **options)


def _slots(found: Decomposition) -> tuple[np.ndarray, np.ndarray]:
    """Edges of all slots [n x 32 + 1] in seconds since the first picture, and what they hold [4, n x 32]."""
    begins = [anchor.time for anchor in found.anchors] + [found.duration]
    edges = [np.linspace(begin, end, 33)[:-1] for begin, end in pairwise(begins)]
    sounds = [interval.sound for interval in found.intervals if interval.sound is not None]
    assert all(sound.shape == (4, 32) and sound.dtype == np.float32 for sound in sounds)
    return np.append(np.concatenate(edges), found.duration), np.concatenate(sounds, axis=1)


def _held_against_decoder(path: Path, *, channel: int | None = 0) -> tuple[np.ndarray, np.ndarray]:
    """Loudness of slots as it was read, and as the decoder has it, where the latter is above -60 dB."""
    video, (edges, slots) = Video(path), _slots(_read(path, anchors=4))
    times, samples = decoded(path, channel=channel)
    truth = np.array([level(times - video.start, samples, *pair) for pair in pairwise(edges)])
    loud = (slots[HEARD] > 0.9) & (truth > -60)
    assert loud.sum() > 90
    return slots[LOUDNESS][loud], truth[loud]


@pytest.mark.parametrize(
    ("name", "rate", "bit_rate", "options"),
    [
        ("a.mp4", 48000, 64_000, {}),
        ("a.mp4", 44100, 128_000, {"aac_coder": "fast"}),
        ("a.mp4", 22050, 32_000, {}),
        ("a.mp4", 16000, 32_000, {}),
        ("a.mp4", 96000, 96_000, {}),
        ("a.ts", 48000, 64_000, {}),
        ("a.mkv", 48000, 64_000, {"aac_pns": "0"}),
        ("a.flv", 44100, 64_000, {"aac_tns": "0"}),
    ],
)
def test_loudness_is_that_of_the_decoder(
    name: str, rate: int, bit_rate: int, options: dict[str, str], tmp_path: Path
) -> None:
    path = write_sound(tmp_path / name, swelling(6, rate=rate), rate=rate, bit_rate=bit_rate, options=options)
    found, truth = _held_against_decoder(path)
    assert np.corrcoef(found, truth)[0, 1] > 0.95
    assert abs(np.mean(found - truth)) < 5


def test_of_several_channels_the_first_element_counts(tmp_path: Path) -> None:
    mono = swelling(6)
    stereo = write_sound(tmp_path / "stereo.mp4", np.concatenate([mono, 0.5 * mono]), bit_rate=128_000)
    found, truth = _held_against_decoder(stereo, channel=None)
    assert np.corrcoef(found, truth)[0, 1] > 0.95
    # A file of six channels begins with the one in the middle.
    silent = np.zeros_like(mono)
    six = write_sound(
        tmp_path / "six.mp4", np.concatenate([silent, silent, mono, silent, silent, silent]), bit_rate=192_000
    )
    found, truth = _held_against_decoder(six, channel=2)
    assert np.corrcoef(found, truth)[0, 1] > 0.95


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.mp4", "libmp3lame"), ("a.ts", "mp2")]
)
def test_sizes_are_those_of_the_packets(name: str, codec: str, tmp_path: Path) -> None:
    path = write_sound(tmp_path / name, swelling(6), codec=codec, bit_rate=96_000)
    video, found = Video(path), _read(path, anchors=1)
    edges, slots = _slots(found)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [packet for packet in container.demux(stream) if packet.size and packet.pts is not None]
        starts = np.array([float(packet.pts * stream.time_base) - video.start for packet in packets])
    sizes = np.array([packet.size for packet in packets])
    inside = (starts >= 0.2) & (starts < 5.8)
    within = (edges[:-1] >= 0.2) & (edges[1:] < 5.8)
    rate = sizes[inside].sum() / (starts[inside][-1] - starts[inside][0])
    assert slots[COVERED][within].min() > 0.99
    assert slots[BYTES][within].mean() == pytest.approx(rate, rel=0.03)
    if codec != "aac":
        assert not slots[[LOUDNESS, HEARD]].any()
        assert any("only sizes are known" in note for note in found.notes)


@pytest.mark.parametrize("container", [{}, {"use_editlist": "0"}])
def test_sound_begins_when_the_decoder_says(container: dict[str, str], tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mp4", begins_at(2.0, 4), container=container)
    edges, slots = _slots(_read(path, anchors=1))
    video, (times, samples) = Video(path), decoded(path)
    begins = times[np.abs(samples) > 0.02][0] - video.start
    heard = edges[:-1][slots[LOUDNESS] > -40][0]
    # A packet's window begins up to 1024 samples early.
    assert heard == pytest.approx(begins, abs=4 / 32 + 1024 / RATE)


def test_sound_that_begins_late_and_ends_early_covers_a_part(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mkv", swelling(2), begin=1.0, seconds=4.0)
    edges, slots = _slots(_read(path, anchors=1))
    middles = (edges[:-1] + edges[1:]) / 2
    there = (middles > 1.1) & (middles < 2.9)
    away = (middles < 0.9) | (middles > 3.1)
    assert slots[COVERED][there].min() > 0.99
    assert not slots[:, away].any()


def test_of_several_tracks_one_is_read_and_named(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mp4", swelling(6), begins_at(3.0, 6))
    found = _read(path, anchors=1)
    with av.open(str(path)) as container:
        best = container.streams.best("audio").index
    assert any(f"2 tracks of sound: the one with the index {best} is read" in note for note in found.notes)
    quiet = _slots(found)[1][LOUDNESS][:15] < -60
    assert quiet.all() == (best == 2)


def test_a_file_without_sound_says_so(encode_clip: Encode) -> None:
    found = _read(encode_clip("a.mp4"))
    assert not _slots(found)[1].any()
    assert "The file has no sound." in found.notes


def test_a_stretch_has_the_sound_of_its_own_time(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mp4", begins_at(3.0, 6))
    part = Video(path).between(2.0, 4.0)
    found = part.decompose(num_anchors=1, steps_per_interval=1, sound=True)
    edges, slots = _slots(found)
    assert edges[:-1][slots[LOUDNESS] > -40][0] == pytest.approx(1.0, abs=0.1)


def test_nothing_else_changes_with_sound(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mp4", swelling(3))
    plain = Video(path).decompose(num_anchors=2, steps_per_interval=2)
    found = Video(path).decompose(num_anchors=2, steps_per_interval=2, sound=True)
    assert plain.intervals[0].sound is None
    assert "sound" not in plain.seconds
    assert found.seconds["sound"] > 0
    save_streams(plain, tmp_path / "plain.npz")
    save_streams(found, tmp_path / "sound.npz")
    with np.load(tmp_path / "plain.npz") as one, np.load(tmp_path / "sound.npz") as two:
        assert set(two.files) - set(one.files) == {"sound"}
        assert two["sound"].shape == (2, 4, 32)
        for name in one.files:
            np.testing.assert_array_equal(one[name], two[name])


def test_a_file_that_is_cut_off_has_the_sound_up_to_there(tmp_path: Path) -> None:
    whole = write_sound(tmp_path / "a.ts", swelling(4)).read_bytes()
    (tmp_path / "b.ts").write_bytes(whole[: len(whole) // 2])
    slots = _slots(_read(tmp_path / "b.ts", anchors=1))[1]
    assert slots[HEARD].max() > 0.9


def _walked(path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[int, Any], None]) -> Decomposition:
    """What is read of a file whose packets of sound say what `change` makes of the packet of a number."""
    real = track.demux

    def changed(container: Any, stream: Any) -> Iterator[Any]:
        for number, packet in enumerate(real(container, stream)):
            change(number, packet)
            yield packet

    monkeypatch.setattr(track, "demux", changed)
    return _read(path, anchors=1)


def test_one_time_that_is_wrong_costs_one_packet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sound(tmp_path / "a.mp4", swelling(6))
    whole = _slots(_read(path, anchors=1))[1]

    def leap(number: int, packet: Any) -> None:
        if number == 100:
            packet.pts = packet.dts = 10**12

    slots = _slots(_walked(path, monkeypatch, leap))[1]
    np.testing.assert_allclose(slots[COVERED], whole[COVERED], atol=0.2)
    np.testing.assert_allclose(slots[LOUDNESS], whole[LOUDNESS], atol=3)


def test_what_comes_after_the_video_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sound(tmp_path / "a.mp4", swelling(12), seconds=3.0)
    read: list[int] = []
    _walked(path, monkeypatch, lambda number, packet: read.append(number))
    assert 3 * RATE / 1024 < len(read) < 6 * RATE / 1024


@pytest.mark.parametrize("count", [0, 1])
def test_a_track_of_hardly_any_packets_has_no_gaps(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sound(tmp_path / "a.mp4", swelling(2))

    def few(container: Any, stream: Any) -> Iterator[Any]:
        for packet in list(demux(container, stream))[:count]:
            packet.duration = 0
            yield packet

    demux = track.demux
    monkeypatch.setattr(track, "demux", few)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(_slots(_read(path, anchors=1))[1]).all()
