"""Subtitle files (SubRip .srt, WebVTT .vtt, LongVideoBench's .json) as text for what a model is shown."""

import html
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from himmel.errors import HimmelError

# Subtitles of a day of film are smaller.
_MOST_BYTES: Final = 32 << 20
_MOST_CUES: Final = 200_000
# Seconds; a clock that shows the date counts from 1970 at the earliest.
_LATEST: Final = 1e12
# A shorter cue is widened to this about its middle, as LongVideoBench's authors do, so that frames may hit it.
_SHORTEST: Final = 1.0
_TIME: Final = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,6}))?"
_ARROW: Final = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}")
_CLOCK: Final = re.compile(rf"\s*{_TIME}\s*")
_TAG: Final = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,200}\}")


@dataclass(frozen=True)
class Cue:
    """One subtitle: `text` from `start` to `end`, seconds on the subtitles' clock; `end` may be infinite."""

    start: float
    end: float
    text: str


def read_subtitles(path: Path) -> tuple[Cue, ...]:
    """The subtitles of a file by time, without markup; cues that are no subtitles are passed over.

    Raises:
        HimmelError: the file is missing, too large, of an unknown kind, or nothing in it is a subtitle.
    """
    suffix = path.suffix.lower()
    if suffix not in (".srt", ".vtt", ".json"):
        raise HimmelError(f"{str(path)!r} is no subtitle file that can be read; convert it to .srt, .vtt or .json.")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise HimmelError(f"{str(path)!r} is larger than any subtitle file; check what it is.")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise HimmelError(f"Cannot read the subtitles {str(path)!r} ({error.strerror}).") from error
    cues = _json_cues(path, text) if suffix == ".json" else _text_cues(text)
    if not cues and text.strip() not in ("", "[]", "WEBVTT"):
        raise HimmelError(f"{str(path)!r} has no subtitle in it that can be read; check what it is.")
    if len(cues) > _MOST_CUES:
        raise HimmelError(f"{str(path)!r} has more than {_MOST_CUES:,} subtitles; check what it is.")
    return tuple(sorted(cues, key=lambda cue: (cue.start, cue.end)))


def spoken(
    cues: Sequence[Cue],
    *,
    times: Sequence[float] | None = None,
    begin: float = 0.0,
    end: float = math.inf,
    offset: float = 0.0,
) -> str:
    """The text of the cues that are shown, one a line, without immediate repetitions.

    Args:
        cues: of `read_subtitles`.
        times: of the frames that the model sees, seconds of the video; None for all between `begin` and `end`.
        begin: seconds of the video at which what is shown begins.
        end: seconds at which it ends.
        offset: seconds on the subtitles' clock at which the video starts.
    """
    lines: list[str] = []
    for cue in cues:
        start, stop = cue.start - offset, cue.end - offset
        if stop - start < _SHORTEST:
            middle = (start + stop) / 2
            start, stop = middle - _SHORTEST / 2, middle + _SHORTEST / 2
        spans = start < end and stop > begin
        shown = spans if times is None else any(start <= time < stop for time in times)
        if shown and (not lines or lines[-1] != cue.text):
            lines.append(cue.text)
    return "\n".join(lines)


def _text_cues(text: str) -> list[Cue]:
    cues: list[Cue] = []
    times: tuple[float, float] | None = None
    words: list[str] = []
    # A cue ends at an empty line, or at the next cue's times where that line is missing.
    for line in [*text.splitlines(), ""]:
        arrow = _ARROW.match(line)
        if arrow and words and words[-1].strip().isdigit():
            # The next cue's number, where the empty line before it is missing.
            words.pop()
        if arrow or not line.strip():
            cues += _cue(times, words)
            times, words = None, []
        if arrow:
            times = _seconds(arrow.groups()[:4]), _seconds(arrow.groups()[4:])
        elif times is not None and line.strip():
            words.append(line)
    return cues


def _json_cues(path: Path, text: str) -> list[Cue]:
    try:
        rows = json.loads(text) if text.strip() else []
    except (ValueError, RecursionError) as error:
        raise HimmelError(f"{str(path)!r} cannot be read as JSON; download it again.") from error
    cues: list[Cue] = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict):
            continue
        span = row.get("timestamp")
        if not (isinstance(span, list) and len(span) == 2):
            span = [row.get("start"), row.get("end")]
        start, end = _moment(span[0]), _moment(span[1])
        words = row.get("text", row.get("line"))
        if start is not None and isinstance(words, str):
            # The last cue's end is missing in some files.
            cues += _cue((start, math.inf if end is None else end), [words])
    return cues


def _moment(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Compared, not converted: JSON has whole numbers that no float can hold.
        return float(value) if abs(value) <= _LATEST else None
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    return None if match is None else _seconds(match.groups())


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{fraction or 0}")


def _cue(times: tuple[float, float] | None, words: Sequence[str]) -> list[Cue]:
    if times is None or not 0 <= times[0] <= times[1]:
        return []
    text = " ".join(html.unescape(_TAG.sub("", " ".join(words))).split())
    return [Cue(times[0], times[1], text)] if text else []
