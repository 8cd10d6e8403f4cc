"""Versions of whatever decides a result; they stand in every result file."""

import platform
from importlib.metadata import PackageNotFoundError, version

ENGINE = "himmel-bitstream"
_PACKAGES = ("himmel", "torch", "transformers", "peft", "safetensors", "av", "opencv-python-headless", "numpy")


def versions() -> dict[str, str]:
    """Versions by name: Python, himmel, the packages that compute, and the FFmpeg inside PyAV."""
    # Imported here, so that the command line can name the engine without loading FFmpeg.
    import av

    packages = {name: version(name) for name in _PACKAGES}
    engine = engine_version()
    if engine is not None:
        packages[ENGINE] = engine
    return {"python": platform.python_version(), **packages, "ffmpeg": av.ffmpeg_version_info}


def engine_version() -> str | None:
    """Version of the bitstream engine, None where it is not installed: it is compiled, and optional."""
    try:
        return version(ENGINE)
    except PackageNotFoundError:
        return None
