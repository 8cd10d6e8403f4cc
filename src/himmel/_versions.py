"""Versions of everything that decides a result; every result file has them."""

import platform
from importlib.metadata import PackageNotFoundError, version

ENGINE = "himmel-bitstream"
_PACKAGES = ("himmel", "torch", "transformers", "peft", "safetensors", "av", "opencv-python-headless", "numpy")


def versions(*more: str) -> dict[str, str]:
    """Versions by name: Python, himmel, the packages that compute (those that are here), `more`, and PyAV's FFmpeg."""
    # Imported here, so that the command line can name the engine without loading FFmpeg.
    import av

    packages = {name: found for name in (*_PACKAGES, *more) if (found := _version(name)) is not None}
    engine = engine_version()
    if engine is not None:
        packages[ENGINE] = engine
    return {"python": platform.python_version(), **packages, "ffmpeg": av.ffmpeg_version_info}


def engine_version() -> str | None:
    """Version of the bitstream engine, which is himmel's own; None where himmel was installed without it."""
    try:
        import himmel_bitstream  # noqa: F401
    except ImportError:  # its compiled part is not there
        return None
    return version("himmel")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # a package of an extra
        return None
