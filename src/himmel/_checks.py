"""What is checked of a request before any work is done for it; nothing heavy is imported here."""

import math
import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from himmel.errors import UsageError

MOST_SEED = 2**63 - 1
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".svg", ".pdf")
OVERLAY_SUFFIXES = (".mp4", ".mkv", ".mov")


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """See that `value` is one of `allowed`.

    Raises:
        UsageError: it is none of them.
    """
    if value not in allowed:
        raise UsageError(f"{name}={value!r} does not exist; choose one of {', '.join(map(str, allowed))}.")


def check_whole(name: str, value: object, least: int, most: int) -> int:
    """`value` as an int.

    Raises:
        UsageError: it is no whole number from `least` to `most`.
    """
    try:
        # What numpy calls an integer is one; what only rounds to one is not.
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number <= most:
        raise UsageError(f"{name}={value!r} is out of range; give a whole number from {least} to {most}.")
    return number


def check_number(name: str, value: object, least: float, most: float) -> float:
    """`value` as a float.

    Raises:
        UsageError: it is no number from `least` to `most`.
    """
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number <= most:
        raise UsageError(f"{name}={value!r} is out of range; give a number from {least:g} to {most:g}.")
    return number


def check_picture(path: str | os.PathLike[str]) -> None:
    """See that a picture can be written as what its name ends in.

    Raises:
        UsageError: the name ends in something else, or is no name.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"picture={path!r} is not a path; name a file that ends in {PICTURE_SUFFIXES[0]}.")
    if Path(path).suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(
            f"{os.fspath(path)!r} does not say which kind of picture to write; let its name end in "
            f"{', '.join(PICTURE_SUFFIXES[:-1])} or {PICTURE_SUFFIXES[-1]}."
        )


def check_overlay(path: str | os.PathLike[str]) -> None:
    """See that a video can be written as what its name ends in.

    Raises:
        UsageError: the name ends in something else.
    """
    if Path(path).suffix.lower() not in OVERLAY_SUFFIXES:
        raise UsageError(
            f"{os.fspath(path)!r} does not say which kind of video to write; let its name end in "
            f"{', '.join(OVERLAY_SUFFIXES[:-1])} or {OVERLAY_SUFFIXES[-1]}."
        )


def check_view(path: str | os.PathLike[str]) -> Literal["picture", "page", "overlay"]:
    """What is to be drawn, by the name of the file that it goes into.

    Raises:
        UsageError: the name ends in something else.
    """
    suffix = Path(path).suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        return "picture"
    if suffix in OVERLAY_SUFFIXES:
        return "overlay"
    if suffix in (".html", ".htm"):
        return "page"
    raise UsageError(
        f"{os.fspath(path)!r} does not say what to draw; let its name end in {', '.join(PICTURE_SUFFIXES)} for a "
        f"picture, .html for a page, or {', '.join(OVERLAY_SUFFIXES)} for a video."
    )


def check_question(question: object) -> str:
    """The question again.

    Raises:
        UsageError: it is not a text, is empty, or holds something that a tokenizer cannot read.
    """
    if not isinstance(question, str):
        raise UsageError(
            f"The question is {question!r}, which is not a text; ask something, for example 'What moves?'."
        )
    if not question.strip():
        raise UsageError("The question is empty; ask something, for example 'What moves?'.")
    _check_characters("question", question)
    return question


def check_options(options: Any) -> tuple[str, ...]:
    """The answers to choose from, in their order; none, or at least two different ones.

    Raises:
        UsageError: a single text (of which each letter would be an option), something that is no text, an empty text,
            a single option, the same one twice, or one that a tokenizer cannot read.
    """
    if isinstance(options, str) or not isinstance(options, Iterable):
        raise UsageError(f"choices={options!r} is not a list of texts; give at least two, such as ['yes', 'no'].")
    texts = list(options)
    if any(not isinstance(text, str) for text in texts):
        raise UsageError(f"The options {texts} are not all texts; give a text for each.")
    if any(not text.strip() for text in texts):
        raise UsageError(f"One of the options {texts} is empty; give a text for each.")
    for text in texts:
        _check_characters("option", text)
    if len(texts) == 1:
        raise UsageError(f"The single option {texts[0]!r} leaves nothing to choose; give at least two options.")
    if len({text.strip() for text in texts}) < len(texts):
        raise UsageError(f"The options {texts} contain the same text twice; give each option once.")
    return tuple(texts)


def _check_characters(kind: str, text: str) -> None:
    # Bytes of the command line that are not UTF-8 arrive as such half characters.
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UsageError(f"The {kind} {text!r} holds bytes that are not UTF-8; write it in UTF-8.")
