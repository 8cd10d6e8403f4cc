"""What a user is told about a file that could not be read."""

from pathlib import Path

from himmel.data.workers import MEGABYTE, Failure, Limits
from himmel.video.file.source import show


def sentence_about(failure: Failure, path: Path | str, limits: Limits) -> str:
    """One sentence about why work on a file gave nothing."""
    match failure.cause:
        case "refused":
            return failure.said
        case "time":
            return f"{show(path)} was not read within {limits.seconds:g} s; allow more time, or leave it out."
        case "memory":
            most = limits.memory // MEGABYTE
            return f"{show(path)} needs more than {most:,} MB of memory; allow more, or leave it out."
        case "crash":
            return f"{show(path)} ended the process that read it ({failure.said}); leave it out."
        case "unexpected":
            return f"{show(path)} met an unexpected {failure.said}; please report it."
