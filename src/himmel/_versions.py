"""Versions of whatever decides a result; they stand in every result file."""

import platform
from importlib.metadata import version

import av

_PACKAGES = ("himmel", "torch", "transformers", "peft", "safetensors", "av", "opencv-python-headless", "numpy")


def versions() -> dict[str, str]:
    """Versions by name: Python, himmel, the packages that compute, and the FFmpeg inside PyAV."""
    packages = {name: version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **packages, "ffmpeg": av.ffmpeg_version_info}
