"""What works on this machine, found out by trying it (`himmel doctor`)."""

import importlib.util
import os
import platform
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.stream import VideoStream

from himmel._files import nano_host_folder
from himmel._install import EXTRAS
from himmel._manifest import find_damage
from himmel._versions import versions
from himmel.errors import HimmelError
from himmel.nano.assets import find_damaged_assets
from himmel.video import Video

# One encoder per codec that people's files are in, and the container that carries it.
_CODECS = {
    "h264": ("libx264", ".mp4"),
    "hevc": ("libx265", ".mp4"),
    "mpeg4": ("mpeg4", ".mp4"),
    "mpeg2video": ("mpeg2video", ".mpg"),
    "vp8": ("libvpx", ".webm"),
    "vp9": ("libvpx-vp9", ".webm"),
    "av1": ("libsvtav1", ".mp4"),
}
# What each verb can't do without; of verbs with several uses, their default one.
_NEEDS = {
    "describe, streams, audit, compress": (),
    "prepare, cache": ("prepare",),
    "ask": ("models", "host"),
    "budget": ("models", "host"),
    "recipe": ("models",),
    "params": ("models",),
    "train": ("models", "prepare", "train", "host"),
    "eval": ("models", "prepare", "train", "host"),
    "merge, card, push": ("models",),
}
_SIDE = 96
_PICTURES = 12


@dataclass(frozen=True)
class CodecTrial:
    """How a codec fared: a small clip was encoded, opened and decomposed.

    Attributes:
        codec: FFmpeg's name of the codec.
        backend: where its maps came from, "libav" or "proxy"; None where the trial could not be made.
        num_vectors: motion vectors that the file yielded.
        note: why the trial failed, or why this backend was taken.
    """

    codec: str
    backend: str | None
    num_vectors: int
    note: str


@dataclass(frozen=True)
class Device:
    """A device that torch can compute on; `memory` in bytes, None if torch doesn't know."""

    name: str
    description: str
    memory: int | None


@dataclass(frozen=True)
class Diagnosis:
    """Everything that `himmel doctor` prints.

    Attributes:
        versions: of Python, himmel, FFmpeg's libraries and the packages that decide results.
        codecs: one trial each.
        extras: by name, whether all their packages are installed.
        devices: that torch sees, the CPU first; empty without torch.
        threads: that torch uses on the CPU; None without torch.
        host_folder: where the embedded host lies or would lie.
        host_ready: whether it is there.
        lacks: by verb, what it still needs: the name of an extra, or "host"; empty where it works.
        damage: folder and what is wrong with it, in a clause, of all that was fetched and of the checkpoint that comes
            with the package; every byte was compared.
    """

    versions: dict[str, str]
    codecs: tuple[CodecTrial, ...]
    extras: dict[str, bool]
    devices: tuple[Device, ...]
    threads: int | None
    host_folder: str
    host_ready: bool
    lacks: dict[str, tuple[str, ...]]
    damage: dict[str, str]


def diagnose() -> Diagnosis:
    """Look at versions, codecs, devices and the cache; a few seconds, nothing is downloaded or kept."""
    folder = nano_host_folder()
    # Only errors: this encoder listens to nothing else.
    os.environ.setdefault("SVT_LOG", "1")
    with tempfile.TemporaryDirectory(prefix="himmel-doctor-") as scratch:
        trials = tuple(_try_codec(codec, Path(scratch)) for codec in _CODECS)
    devices, threads = _torch_devices()
    extras = {name: all(map(_is_installed, packages)) for name, packages in EXTRAS.items()}
    there = {**extras, "host": (folder / "config.json").is_file()}
    return Diagnosis(
        versions=versions(),
        codecs=trials,
        extras=extras,
        devices=devices,
        threads=threads,
        host_folder=str(folder),
        host_ready=there["host"],
        lacks={verb: tuple(name for name in needs if not there[name]) for verb, needs in _NEEDS.items()},
        damage={str(place): found for place, found in _find_damage().items()},
    )


def _find_damage() -> dict[Path, str]:
    shipped = Path(str(files("himmel") / "nano" / "checkpoint"))
    damage = find_damage(shipped, fully=True)
    return find_damaged_assets() | ({} if damage is None else {shipped: damage})


def _try_codec(codec: str, folder: Path) -> CodecTrial:
    encoder, suffix = _CODECS[codec]
    file = folder / f"{codec}{suffix}"
    try:
        _encode_trial(file, encoder)
    except (FFmpegError, ValueError) as error:
        return CodecTrial(codec, None, 0, f"no encoder to try it with ({error})")
    try:
        read = Video(file).decompose(num_anchors=1, steps_per_interval=4)
    except HimmelError as error:
        return CodecTrial(codec, None, 0, str(error))
    return CodecTrial(codec, read.backend, read.num_vectors, read.backend_reason)


def _encode_trial(file: Path, encoder: str) -> None:
    """Write a clip of noise that slides to the right by two pixels a picture."""
    texture = np.random.default_rng(0).integers(0, 256, (_SIDE // 8, _SIDE // 4, 3), dtype=np.uint8)
    wide = np.kron(texture, np.ones((8, 8, 1), dtype=np.uint8))
    with av.open(str(file), "w") as container:
        quiet = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
        stream = cast(VideoStream, container.add_stream(encoder, rate=Fraction(25), options=quiet))
        stream.width = stream.height = _SIDE
        stream.pix_fmt = "yuv420p"
        for index in range(_PICTURES):
            left = _SIDE - 2 * index
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(wide[:, left : left + _SIDE]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _torch_devices() -> tuple[tuple[Device, ...], int | None]:
    """Devices and CPU threads that torch would compute on; none without torch, or with one that cannot be loaded."""
    try:
        import torch
    except (ImportError, OSError):
        return (), None
    found = [Device("cpu", platform.processor() or platform.machine(), None)]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append(Device(f"cuda:{index}", properties.name, properties.total_memory))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU", None))
    return tuple(found), torch.get_num_threads()
