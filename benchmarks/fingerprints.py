"""Whether a change of the code changed any value: fingerprints of files of many kinds, to be taken before and after.

    python -m benchmarks.fingerprints -o before.json [--folder CLIPS]
    python -m benchmarks.fingerprints --against before.json [--folder CLIPS]

Encodes 31 clips of many codecs, containers and oddities into CLIPS, unless they are there, and takes the three sample
clips with them. Hashes of each what `Video` tells, every array of its decompositions by each anchor mode and backend,
accumulated too, and the answers of the default model. With --against it lists what differs, and exits with 1 if
anything does.

Keep the clips between the two runs, and run both on one machine: encoders, optical flow and matrix products give other
last bits on other processors.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

import himmel
from benchmarks.repeatability import fingerprint
from himmel._files import atomic_path
from himmel._x264 import repeatable_x264
from himmel.errors import HimmelError
from himmel.nano.assets import get_sample_clip
from himmel.video import Video

Record = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """How one clip is encoded: the name says codec and container, the rest what is odd about it."""

    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (160, 128)
    frames: int = 60
    pix_fmt: str = "yuv420p"
    rotation: int = 0
    pts: tuple[int, ...] | None = None
    interlaced: bool = False


CLIPS = {
    "no-b.mp4": Kind(options={"g": "20", "bf": "0"}),
    "pyramid.mp4": Kind(options={"g": "30", "bf": "3", "refs": "4"}),
    "baseline.mp4": Kind(options={"profile": "baseline", "g": "25"}),
    "refresh.mp4": Kind(options={"x264-params": "intra-refresh=1:keyint=20"}),
    "open-gop.mp4": Kind(options={"x264-params": "open-gop=1:keyint=15:bframes=3"}),
    "cropped.mp4": Kind(size=(174, 122)),
    "rotated.mp4": Kind(rotation=90, size=(176, 128)),
    "half-turn.mp4": Kind(rotation=180, size=(174, 122)),
    "ten-bit.mp4": Kind(pix_fmt="yuv420p10le"),
    "444.mp4": Kind(pix_fmt="yuv444p"),
    "mbaff.mp4": Kind(interlaced=True, options={"flags": "+ilme+ildct"}),
    "all-intra.mp4": Kind(options={"g": "1"}),
    "one-picture.mp4": Kind(frames=1),
    "three-pictures.mp4": Kind(frames=3),
    "variable-rate.mp4": Kind(pts=tuple(k + k * k // 40 for k in range(60))),
    "h264.avi": Kind(options={"g": "20", "bf": "2"}),
    "h264.ts": Kind(options={"g": "20", "bf": "2"}),
    "h264.mkv": Kind(options={"g": "20", "bf": "2"}),
    "h264.flv": Kind(options={"g": "20", "bf": "0"}),
    "hevc.mp4": Kind("libx265", {"x265-params": "log-level=none:pools=1:keyint=20"}),
    "hevc.mkv": Kind("libx265", {"x265-params": "log-level=none:pools=1:bframes=3"}),
    "vp8.webm": Kind("libvpx", {"g": "20"}),
    "vp9.webm": Kind("libvpx-vp9", {"g": "20", "cpu-used": "8"}),
    "av1.mp4": Kind("libsvtav1", {"g": "20", "preset": "12"}),
    "mpeg4.mp4": Kind("mpeg4", {"g": "12", "bf": "0"}),
    "mpeg4-b.mp4": Kind("mpeg4", {"g": "12", "bf": "2"}),
    "mpeg4.avi": Kind("mpeg4", {"g": "12"}),
    "mpeg2.ts": Kind("mpeg2video", {"g": "12", "bf": "2"}),
    "mpeg1.mpg": Kind("mpeg1video", {"g": "12", "bf": "2"}),
    "flv1.flv": Kind("flv", {"g": "20"}),
    "motion-jpeg.avi": Kind("mjpeg", pix_fmt="yuvj420p", frames=30),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "keyframe": {},
    "exact": {"anchor_mode": "exact"},
    "scene": {"anchor_mode": "scene"},
    "bitstream": {"backend": "bitstream", "anchor_mode": "exact"},
    "libav": {"backend": "libav", "anchor_mode": "exact"},
    "proxy": {"backend": "proxy", "cell": 8},
    "coviar": {"backend": "coviar"},
    "accumulate": {"accumulate": True, "num_anchors": 3},
    "accumulate-libav": {"accumulate": True, "backend": "libav", "num_anchors": 3},
    "accumulate-proxy": {"accumulate": True, "backend": "proxy", "num_anchors": 3, "steps_per_interval": 3},
    "rgb-difference": {"rgb_difference": True, "num_anchors": 4, "steps_per_interval": 4},
    "small-anchors": {"max_anchor_pixels": 5000, "num_anchors": 5, "cell": 4},
}
QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Which way does it move?", ("left", "right", "up", "down")),
    ("How does the camera move?", ()),
)


def make_clip(path: Path, kind: Kind) -> None:
    """Encode a texture that pans by (2, 1) pixels a picture under a block that moves the other way."""
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format=_format(path)) as container:
        options = dict(kind.options)
        if kind.codec == "libx264":
            own = [options["x264-params"]] if "x264-params" in options else []
            options["x264-params"] = ":".join([*own, *(f"{k}={v}" for k, v in repeatable_x264().items()), "threads=1"])
        stream = container.add_stream(kind.codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        (stream.width, stream.height), stream.pix_fmt = kind.size, kind.pix_fmt
        stream.codec_context.thread_count = 1
        if kind.rotation:
            stream.set_display_rotation(kind.rotation)
        for k, picture in enumerate(_pictures(*kind.size, kind.frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (k if kind.pts is None else kind.pts[k]), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _format(path: Path) -> str:
    names = {".ts": "mpegts", ".mkv": "matroska", ".mpg": "mpeg"}
    return names.get(path.suffix, path.suffix[1:])


def _pictures(width: int, height: int, count: int) -> Iterator[NDArray[np.uint8]]:
    noise = np.random.default_rng(5).random((height + 2 * count, width + 2 * count, 3), np.float32)
    whole = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 16, 235, cv2.NORM_MINMAX).astype(np.uint8)
    for k in range(count):
        x, y = 2 * (count - k), count - k
        picture = np.ascontiguousarray(whole[y : y + height, x : x + width])
        picture[40:72, 20 + k : 52 + k] = (200, 30, 60)
        yield picture


def record(path: Path) -> Record:
    """Everything that is fingerprinted of one file."""
    video = Video(path)
    found: Record = {
        "file": hashlib.sha256(path.read_bytes()).hexdigest(),
        "video": [video.codec, video.width, video.height, video.coded_width, video.coded_height, video.rotation],
        "clock": [video.num_frames, video.start, video.duration, video.average_rate],
        "times": hashlib.sha256(video.pts.tobytes() + video.times.tobytes() + video.keyframes.tobytes()).hexdigest(),
        "notes": list(video.notes),
    }
    for name, options in SETTINGS.items():
        try:
            one = video.decompose(**options)
        except HimmelError as error:
            found[name] = type(error).__name__
            continue
        kinds = [one.backend, one.residual_kind, one.distance_kind, one.accumulated, one.num_vectors, one.grid]
        anchors = [[anchor.frame, anchor.reason, anchor.keyframe] for anchor in one.anchors]
        colours = [interval.rgb_difference for interval in one.intervals if interval.rgb_difference is not None]
        extra = hashlib.sha256(b"".join(np.ascontiguousarray(plane).tobytes() for plane in colours)).hexdigest()
        found[name] = json.loads(json.dumps([*kinds, anchors, fingerprint(one), extra]))
    return found


def answers(path: Path) -> Record:
    """What the default model says about a file; numbers as they are printed, to the last digit."""
    found: Record = {}
    for question, choices in QUESTIONS:
        answer = himmel.ask(path, question, choices=choices, max_new_tokens=12)
        scores = [[score.text, score.log_likelihood] for score in answer.choices]
        found[question] = [answer.text, scores, answer.tokens, answer.prompt_sha256]
    return found


def differences(before: Record, after: Record) -> list[str]:
    """One line per value that isn't the same."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, {}), after.get(name, {})
        if old.get("file") != new.get("file"):
            lines.append(f"{name}: is another file, so nothing else of it was compared")
            continue
        lines += [
            f"{name}: {key}: {old.get(key)} before, {new.get(key)} after"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
    return lines


def main() -> int:
    """Take fingerprints; write or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("fingerprint-clips"))
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--no-answers", action="store_true", help="leave out the default model")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, kind in CLIPS.items():
        if not (options.folder / name).exists():
            make_clip(options.folder / name, kind)
    paths = [options.folder / name for name in CLIPS]
    paths += [get_sample_clip("bikes"), get_sample_clip("carphone"), get_sample_clip("bigbuckbunny")]
    taken: Record = {}
    for path in track(paths, description="Taking fingerprints"):
        taken[path.name] = record(path)
        if not options.no_answers:
            taken[path.name]["answers"] = answers(path)
    if options.output is not None:
        with atomic_path(options.output) as temporary:
            temporary.write_text(json.dumps(taken, indent=1) + "\n")
    if options.against is None:
        return 0
    changed = differences(json.loads(options.against.read_text()), taken)
    print("\n".join(changed) or f"{len(taken)} files: no value differs")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
