"""The corpus of `benchmarks.corpus_proof`: rendered clips as people have them, files that are none, and questions.

In every clip a coloured shape crosses a textured background, so that what is asked has one right answer. Of each forty
files, twelve have another codec or irregular times, and five can't be read; the first two of all are an hour long, and
too large for memory. What kind a file has depends on its number alone, and so do its bytes.
"""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from himmel._files import atomic_path
from himmel._x264 import repeatable_x264

Picture = NDArray[np.uint8]

RATE: Final = 24
_PICTURES: Final = 48
_GOP: Final = 12
_SIZES: Final = ((160, 112), (192, 128), (128, 160))
_SHAPES: Final = ("square", "circle")
_COLOURS: Final = {"red": (210, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (230, 210, 50)}
_WAYS: Final = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_LARGE: Final = 8000
_MINUTES: Final = 60


@dataclass(frozen=True)
class Kind:
    """What a file is.

    Attributes:
        name: in the summary.
        suffix: of the file.
        readable: whether `himmel prepare` can read it within the proof's limit on memory.
        codec: encoder of the pictures; "" of what is written otherwise.
        options: of the encoder.
        irregular: whether its pictures come at irregular times.
    """

    name: str
    suffix: str
    readable: bool = True
    codec: str = ""
    options: tuple[tuple[str, str], ...] = ()
    irregular: bool = False


_X264: Final = (("preset", "veryfast"), ("crf", "26"))
_HIGH: Final = Kind("H.264, High", ".mp4", codec="libx264", options=(*_X264, ("bf", "2")))
_BASELINE: Final = Kind("H.264, Baseline", ".mkv", codec="libx264", options=(*_X264, ("profile", "baseline")))
_UNEVEN: Final = Kind("H.264, variable rate", ".mkv", codec="libx264", options=_X264, irregular=True)
_HEVC: Final = Kind(
    "HEVC", ".mp4", codec="libx265", options=(("preset", "ultrafast"), ("x265-params", "log-level=none:pools=none"))
)
_VP9: Final = Kind("VP9", ".webm", codec="libvpx-vp9", options=(("deadline", "realtime"), ("cpu-used", "8")))
_PART_2: Final = Kind("MPEG-4 Part 2", ".avi", codec="mpeg4", options=(("qscale", "4"),))
_LONG: Final = Kind("an hour long", ".mp4", codec="libx264", options=_X264)
_COPY: Final = Kind("a copy", ".mp4")
_HUGE: Final = Kind("too large", ".mkv", readable=False)
_BAD: Final = tuple(
    Kind(name, ".mp4", readable=False) for name in ("empty", "noise", "a web page", "cut", "sound only")
)
_ODD: Final = (*_BAD, _COPY, *3 * (_HEVC,), *3 * (_VP9,), *3 * (_UNEVEN,), *2 * (_PART_2,), *2 * (_BASELINE,))
_TURN: Final = 40
COPIED: Final = 2
"""The number of the clip that copies are of."""


@dataclass(frozen=True)
class File:
    """One file of the corpus.

    Attributes:
        number: from 0; what is in the clip follows from it.
        kind: what it is.
        held_out: whether it is asked about after training, and not learned from.
    """

    number: int
    kind: Kind
    held_out: bool

    @property
    def name(self) -> str:
        """Below the corpus."""
        return f"{self.number // 1000}/{self.number:05d}{self.kind.suffix}"

    @property
    def shown(self) -> int:
        """The number of the clip whose content it has."""
        return COPIED if self.kind == _COPY else self.number

    @property
    def truth(self) -> tuple[str, str, str]:
        """Colour, shape and way of what moves."""
        rng = np.random.default_rng([self.shown, 0])
        return str(rng.choice([*_COLOURS])), str(rng.choice(_SHAPES)), str(rng.choice([*_WAYS]))


def files(count: int) -> list[File]:
    """The first so many files of the corpus."""
    return [_file(number) for number in range(count)]


def _file(number: int) -> File:
    place = number % _TURN - COPIED - 1
    if number < COPIED:
        kind = (_LONG, _HUGE)[number]
    else:
        # Spread, so that no shard of the cache has one kind alone.
        kind = _ODD[place // 2] if place >= 0 and place % 2 == 0 and place // 2 < len(_ODD) else _HIGH
    return File(number, kind, held_out=kind.readable and kind != _COPY and number % 7 == 4)


def write_corpus(folder: Path, count: int, *, workers: int) -> list[File]:
    """Write the files that are not there yet, and all questions.

    `train.jsonl`, `pictures.jsonl` and `text.jsonl` are for training, `held_out.jsonl` for `himmel eval`.
    """
    found = files(count)
    for place in {(folder / one.name).parent for one in found} | {folder / "pictures"}:
        place.mkdir(parents=True, exist_ok=True)
    missing = [one for one in found if not (folder / one.name).is_file()]
    with ProcessPoolExecutor(max_workers=workers) as pool:
        for _ in pool.map(_write, [folder] * len(missing), missing):
            pass
    _write_questions(folder, found)
    return found


def _write(folder: Path, file: File) -> None:
    with atomic_path(folder / file.name) as temporary:
        _WRITERS.get(file.kind.name, _encode)(temporary, file)


def _encode(path: Path, file: File) -> None:
    """A clip by its kind's encoder."""
    cv2.setNumThreads(1)
    pictures = list(_pictures(file))
    height, width = pictures[0].shape[:2]
    options = {**dict(file.kind.options), "g": str(_GOP)}
    if file.kind.codec == "libx264" and repeatable_x264():
        options["x264-params"] = ":".join(f"{name}={value}" for name, value in repeatable_x264().items())
    rng = np.random.default_rng([file.number, 1])
    steps = rng.integers(1, 4, len(pictures)) if file.kind.irregular else np.ones(len(pictures), int)
    times = np.cumsum(steps) - steps[0]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(file.kind.codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = int(time), Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _pictures(file: File) -> Iterator[Picture]:
    """The clip, picture by picture, uint8 [H, W, 3]."""
    colour, shape, way = file.truth
    rng = np.random.default_rng([file.shown, 2])
    width, height = _SIZES[int(rng.integers(len(_SIZES)))]
    noise = rng.random((height, width, 3), np.float32)
    ground = np.asarray(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 40, 200, cv2.NORM_MINMAX))  # type: ignore[call-overload]
    side = int(rng.integers(20, 33))
    at = np.array([rng.uniform(side, width - side), rng.uniform(side, height - side)])
    along = np.array(_WAYS[way], float)
    room = np.abs(along) @ np.array([width, height]) - 2 * side
    at[along != 0] = side if along.sum() > 0 else room + side
    for k in range(_PICTURES):
        picture = ground.astype(np.uint8)
        x, y = (at + along * room * k / (_PICTURES - 1)).round().astype(int)
        if shape == "circle":
            cv2.circle(picture, (int(x), int(y)), side // 2, _COLOURS[colour], -1)
        else:
            half = side // 2
            cv2.rectangle(picture, (int(x) - half, int(y) - half), (int(x) + half, int(y) + half), _COLOURS[colour], -1)
        yield picture


def _write_long(path: Path, file: File) -> None:
    """The clip's packets, closed groups of pictures, over and over with later times."""
    short = path.with_name(f"{path.stem}-short{path.suffix}")
    try:
        _encode(short, file)
        with av.open(str(short)) as reader, av.open(str(path), "w") as writer:
            video = reader.streams.video[0]
            stream = writer.add_stream_from_template(video)
            turn = int(Fraction(_PICTURES, RATE) / Fraction(video.time_base or 1))
            packets = [one for one in reader.demux(video) if one.pts is not None and one.dts is not None]
            kept = [(bytes(one), int(one.pts or 0), int(one.dts or 0), one.is_keyframe) for one in packets]
            for k in range(_MINUTES * 60 * RATE // _PICTURES):
                for data, pts, dts, key in kept:
                    packet = av.Packet(data)
                    packet.stream, packet.time_base = stream, video.time_base or Fraction(1)
                    packet.pts, packet.dts, packet.is_keyframe = pts + k * turn, dts + k * turn, key
                    writer.mux(packet)
    finally:
        short.unlink(missing_ok=True)


def _write_huge(path: Path, file: File) -> None:
    """Two pictures of 64 megapixels, each of which takes more memory than the proof grants a video."""
    del file
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=RATE)
        stream.width = stream.height = _LARGE
        stream.pix_fmt = "yuvj420p"
        frame = av.VideoFrame(_LARGE, _LARGE, "yuvj420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for time in range(2):
            frame.pts, frame.time_base = time, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _write_cut(path: Path, file: File) -> None:
    """What is left of an MP4 file whose download stopped: the index, at its end, is missing."""
    _encode(path, File(file.number, _HIGH, held_out=False))
    with path.open("r+b") as opened:
        opened.truncate(path.stat().st_size // 2)


def _write_copy(path: Path, file: File) -> None:
    _encode(path, File(file.shown, _HIGH, held_out=False))


def _write_sound(path: Path, file: File) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16_000, layout="mono")
        tone = np.sin(np.arange(16_000, dtype=np.float32) / (20 + file.number % 7))[None]
        for start in range(0, tone.shape[1] - 1024, 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tone[:, start : start + 1024]), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _write_noise(path: Path, file: File) -> None:
    path.write_bytes(np.random.default_rng(file.number).bytes(20_000))


def _write_page(path: Path, file: File) -> None:
    path.write_text(f"<!doctype html><title>404</title><p>There is no video {file.number} here any more.</p>\n")


def _write_nothing(path: Path, file: File) -> None:
    del file
    os.truncate(path, 0)


_WRITERS: Final[dict[str, Callable[[Path, File], None]]] = {
    "an hour long": _write_long,
    "too large": _write_huge,
    "a copy": _write_copy,
    "cut": _write_cut,
    "sound only": _write_sound,
    "noise": _write_noise,
    "a web page": _write_page,
    "empty": _write_nothing,
}


def _write_questions(folder: Path, found: list[File]) -> None:
    lessons: list[dict[str, Any]] = []
    held_out: list[dict[str, Any]] = []
    for one in found:
        colour, shape, way = one.truth
        moving = {
            "video": one.name,
            "question": f"Which way does the {shape} move?",
            "choices": [*_WAYS],
            "answer": way,
        }
        if one.held_out:
            held_out.append({"id": str(one.number), **moving})
            continue
        talk = [
            {"from": "human", "value": f"<image>\nWhat colour is the {shape}?"},
            {"from": "gpt", "value": colour},
            {"from": "human", "value": "Which way does it move?"},
            {"from": "gpt", "value": way},
        ]
        lessons += [moving, {"video": one.name, "conversations": talk}]
        if one.number % 3 == 0:
            subtitles = f"{one.number // 1000}/{one.number:05d}.srt"
            said = f"1\n00:00:00,000 --> 00:00:01,500\nLook at the {shape}.\n"
            (folder / subtitles).write_text(said, encoding="utf-8")
            lessons[-2] = {**moving, "subtitles": subtitles}
    _write_lines(folder / "train.jsonl", lessons)
    _write_lines(folder / "held_out.jsonl", held_out)
    _write_lines(folder / "pictures.jsonl", list(_ask_about_pictures(folder, min(len(found), 100))))
    sums = [(a, b) for a in range(2, 9) for b in range(2, 9)]
    text = [{"question": f"What is {a} plus {b}?", "answer": str(a + b)} for a, b in sums]
    _write_lines(folder / "text.jsonl", text)


def _ask_about_pictures(folder: Path, count: int) -> Iterator[dict[str, str]]:
    """The first picture of other clips than those of the corpus."""
    for number in range(count):
        file = File(1_000_000 + number, _HIGH, held_out=False)
        colour, shape, _ = file.truth
        name = f"pictures/{number:03d}.png"
        if not (folder / name).is_file():
            with atomic_path(folder / name) as temporary:
                cv2.imwrite(str(temporary), next(_pictures(file))[..., ::-1])
        yield {"image": name, "question": f"What colour is the {shape}?", "answer": colour}


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
