"""Files that no muxer at hand writes.

MP4 with chosen edit lists, sample descriptions and composition offsets: the boxes are those of ISO 14496-12; one video
track, each sample a chunk of its own. Matroska with a stream as AVI has it. A transport stream with another PID.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import av

# Ticks a second, and a picture at 25 pictures a second.
TIMESCALE = 12_800
PICTURE = 512
# Transport packets: length, mask of the PID, and where FFmpeg puts the programme map.
_PACKET, _PID, _PROGRAMME_MAP = 188, 0x1FFF, 0x1000
_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@dataclass(frozen=True)
class Sample:
    """One coded picture.

    Attributes:
        shown: place in presentation order, which becomes its composition offset.
        description: which sample description it needs, from 0.
    """

    data: bytes
    key: bool
    shown: int
    description: int = 0


@dataclass(frozen=True)
class Track:
    """A clip taken apart.

    Attributes:
        config: what the sample entry holds as `config_kind`, such as an avcC record.
        samples: in decode order.
    """

    size: tuple[int, int]
    kind: bytes
    config_kind: bytes
    config: bytes
    samples: tuple[Sample, ...]

    @property
    def entry(self) -> bytes:
        """The sample entry (8.5.2, 12.1.3)."""
        return sample_entry(self.kind, self.size, box(self.config_kind, self.config))


def take_apart(path: Path) -> Track:
    """The first video track of an MP4 or Matroska file in H.264 or HEVC with all presentation times."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        size, config, codec = (context.width, context.height), bytes(context.extradata or b""), context.name
        packets = [(bytes(packet), packet.is_keyframe, packet.pts) for packet in container.demux(stream) if packet.size]
    place = {time: number for number, time in enumerate(sorted(time for _, _, time in packets))}
    samples = tuple(Sample(data, key, place[time]) for data, key, time in packets)
    kind, config_kind = {"h264": (b"avc1", b"avcC"), "hevc": (b"hvc1", b"hvcC")}[codec]
    return Track(size, kind, config_kind, config, samples)


def write_mp4(
    path: Path,
    samples: Sequence[Sample],
    entries: Sequence[bytes],
    size: tuple[int, int],
    *,
    edits: Sequence[tuple[int, int]] = (),
    with_offsets: bool = True,
) -> Path:
    """Write a file and return its path.

    Args:
        entries: the sample descriptions.
        edits: segments of the edit list (8.6.6): how many pictures are shown, from which picture on (in presentation
            order) or -1 for a pause. Empty for no edit list.
        with_offsets: write composition offsets; without them the file doesn't tell when pictures are shown.
    """
    delay = max(number - sample.shown for number, sample in enumerate(samples)) if with_offsets else 0
    brand = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
    data = b"".join(sample.data for sample in samples)
    table = [full_box(b"stsd", struct.pack(">I", len(entries)), *entries)]
    table.append(full_box(b"stts", struct.pack(">III", 1, len(samples), PICTURE)))
    if with_offsets:
        offsets = [(1, PICTURE * (sample.shown + delay - number)) for number, sample in enumerate(samples)]
        table.append(full_box(b"ctts", _counted(offsets)))
    table.append(full_box(b"stss", _counted([(k + 1,) for k, sample in enumerate(samples) if sample.key])))
    runs = [next(group) for _, group in groupby(enumerate(samples), lambda item: item[1].description)]
    table.append(full_box(b"stsc", _counted([(k + 1, 1, sample.description + 1) for k, sample in runs])))
    table.append(full_box(b"stsz", struct.pack(">I", 0), _counted([(len(sample.data),) for sample in samples])))
    places = [len(brand) + 8]
    for sample in samples[:-1]:
        places.append(places[-1] + len(sample.data))
    table.append(full_box(b"stco", _counted([(place,) for place in places])))
    media = PICTURE * len(samples)
    segments = [(PICTURE * count, -1 if first < 0 else PICTURE * (first + delay), 0x10000) for count, first in edits]
    length = sum(duration for duration, _, _ in segments) or media
    track = [
        full_box(
            b"tkhd",
            struct.pack(">IIIII", 0, 0, 1, 0, length),
            bytes(16),
            _MATRIX,
            struct.pack(">II", size[0] << 16, size[1] << 16),
            flags=3,
        ),
        box(b"edts", full_box(b"elst", _counted(segments))) if segments else b"",
        box(
            b"mdia",
            full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, TIMESCALE, media, 0x55C4, 0)),
            full_box(b"hdlr", bytes(4), b"vide", bytes(12), b"\0"),
            box(
                b"minf",
                full_box(b"vmhd", bytes(8), flags=1),
                box(b"dinf", full_box(b"dref", struct.pack(">I", 1), full_box(b"url ", flags=1))),
                box(b"stbl", *table),
            ),
        ),
    ]
    header = struct.pack(">IIIIIH", 0, 0, TIMESCALE, length, 0x10000, 0x100)
    movie = box(
        b"moov",
        full_box(b"mvhd", header, bytes(10), _MATRIX, bytes(24), struct.pack(">I", 2)),
        box(b"trak", *track),
    )
    path.write_bytes(brand + box(b"mdat", data) + movie)
    return path


def sample_entry(kind: bytes, size: tuple[int, int], *boxes: bytes) -> bytes:
    """A visual sample entry (12.1.3) with boxes such as avcC behind it."""
    head = bytes(6) + b"\0\1" + bytes(16) + struct.pack(">HH", *size)
    return box(
        kind, head, struct.pack(">IIIH", 0x480000, 0x480000, 0, 1), bytes(32), struct.pack(">Hh", 24, -1), *boxes
    )


def box(kind: bytes, *contents: bytes) -> bytes:
    """A box (4.2)."""
    body = b"".join(contents)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, *contents: bytes, flags: int = 0) -> bytes:
    """A box with version 0 and flags."""
    return box(kind, struct.pack(">I", flags), *contents)


def _counted(rows: Sequence[tuple[int, ...]]) -> bytes:
    """A count and rows of 32-bit numbers."""
    return struct.pack(">I", len(rows)) + b"".join(struct.pack(f">{len(row)}i", *row) for row in rows)


def write_vfw(path: Path, packets: Sequence[tuple[bytes, bool]], fourcc: bytes, size: tuple[int, int]) -> Path:
    """A Matroska file that holds a stream as AVI does (V_MS/VFW/FOURCC): times are those of decoding, 25 a second.

    Args:
        packets: data and whether it is a keyframe, in decode order; at most 800, so that one cluster does.
    """
    bitmap = struct.pack("<IiiHH4sIiiII", 40, *size, 1, 24, fourcc, 3 * size[0] * size[1], 0, 0, 0, 0)
    video = _element(0xE0, _element(0xB0, struct.pack(">H", size[0])), _element(0xBA, struct.pack(">H", size[1])))
    track = _element(
        0xAE,
        _element(0xD7, b"\1"),
        _element(0x73C5, b"\1"),
        _element(0x83, b"\1"),
        _element(0x86, b"V_MS/VFW/FOURCC"),
        _element(0x63A2, bitmap),
        video,
    )
    blocks = [
        _element(0xA3, b"\x81" + struct.pack(">hB", 40 * number, 0x80 * key), data)
        for number, (data, key) in enumerate(packets)
    ]
    path.write_bytes(
        _element(0x1A45DFA3, _element(0x4282, b"matroska"))
        + _element(
            0x18538067,
            _element(0x1549A966, _element(0x2AD7B1, struct.pack(">I", 1_000_000))),
            _element(0x1654AE6B, track),
            _element(0x1F43B675, _element(0xE7, b"\0"), *blocks),
        )
    )
    return path


def _element(number: int, *contents: bytes) -> bytes:
    """An EBML element (RFC 8794) with a length of eight bytes."""
    body = b"".join(contents)
    return number.to_bytes((number.bit_length() + 7) // 8, "big") + (len(body) | 1 << 56).to_bytes(8, "big") + body


def change_pid(data: bytes, own: int, other: int) -> bytes:
    """A transport stream of FFmpeg's with its one stream under another PID, in packets and map (ISO 13818-1)."""
    changed = bytearray(data)
    for at in range(0, len(data), _PACKET):
        pid = int.from_bytes(data[at + 1 : at + 3]) & _PID
        if pid == own:
            _set_pid(changed, at + 1, other)
        elif pid == _PROGRAMME_MAP:
            begin = at + 5
            end = begin + 3 + (int.from_bytes(data[begin + 1 : begin + 3]) & 0xFFF) - 4
            # The next version, the clock's PID, and that of the stream behind the programme's descriptors.
            changed[begin + 5] ^= 2
            _set_pid(changed, begin + 8, other)
            _set_pid(changed, begin + 13 + (int.from_bytes(data[begin + 10 : begin + 12]) & 0xFFF), other)
            changed[end : end + 4] = struct.pack(">I", _checksum(changed[begin:end]))
    return bytes(changed)


def _set_pid(data: bytearray, at: int, pid: int) -> None:
    data[at : at + 2] = (int.from_bytes(data[at : at + 2]) & ~_PID | pid).to_bytes(2)


def _checksum(data: bytes | bytearray) -> int:
    """CRC of a section (annex A)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 * (value >> 31)) & 0xFFFFFFFF
    return value
