"""From a row of an annotation file to a sample, whichever of the usual forms it has.

{video | image, question, answer, choices}          plain questions
{video | image, conversations: [{from, value}]}     LLaVA
{messages: [{role, content}]}                       OpenAI; media among the parts of the contents, or beside them
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote

from himmel.data.samples.sample import Medium, Sample, Turn

Choices = Literal["words", "listed"]

# More turns than this is a log, not a conversation.
_MOST_TURNS: Final = 1000
_MOST_CHOICES: Final = 26
# Seconds; no video is as long.
_LATEST: Final = 1e9
_TAG: Final = re.compile(r"\s*<(?:image|video)>\s*")
# Not by `urlsplit`, which refuses some paths, such as those with a bracket after two slashes.
_FILE: Final = re.compile(r"file:(?://[^/?#]*)?([^?#]*)", re.IGNORECASE)
_ELSEWHERE: Final = re.compile(r"data(?=:)|[a-z][a-z0-9+.-]+(?=://)", re.IGNORECASE)
_ROLES: Final = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


class RowError(ValueError):
    """A row can't be learned from; the message is a clause that says why."""


def parse_row(row: Mapping[str, Any], *, folder: Path, name: str, choices: Choices = "words") -> Sample:
    """The sample of a row.

    Args:
        row: by column; a picture inside a Parquet file is a `Medium` already.
        folder: where relative paths begin.
        name: the sample's id where the row has none.
        choices: "words": the question alone is asked and the right option's text is the answer; "listed": the options
            are listed with letters, and the answer is letter and text, as LLaVA-Video-178K has it.

    Raises:
        RowError: nothing can be learned from it.
    """
    media = [*_media(row, folder)]
    if row.get("conversations") is not None:
        turns = _turns(_said(row["conversations"], role="from", content="value"))
    elif row.get("messages") is not None:
        messages = _said(row["messages"], role="role", content="content")
        media += [one for _, content in messages for one in _media_in(content, folder)]
        turns = _turns(messages)
    else:
        turns = (_question(row, choices),)
    _check_media(media)
    start, end = _seconds(row, "start"), _seconds(row, "end")
    if end is not None and end <= (start or 0.0):
        raise RowError(f"its end {end!r} is not after its start {start!r}")
    if media and media[0].kind == "video":
        media = [Medium("video", media[0].path, start, end)]
    if any(not _is_unicode(text) for turn in turns for text in (turn.question, turn.answer)):
        raise RowError("has a text with half a character (a lone surrogate)")
    subtitles = row.get("subtitles")
    if subtitles is not None and not isinstance(subtitles, str):
        raise RowError("its subtitles are no path")
    if subtitles and (not media or media[0].kind != "video"):
        raise RowError("has subtitles and no video")
    given = row.get("id", row.get("question_id"))
    return Sample(
        id=name if given is None else str(given),
        media=tuple(media),
        turns=turns,
        subtitles=str(folder / subtitles) if subtitles else None,
    )


def _media(row: Mapping[str, Any], folder: Path) -> Iterator[Medium]:
    kinds: tuple[Literal["video", "image"], ...] = ("video", "image")
    for kind in kinds:
        for column in (kind, f"{kind}s"):
            value = row.get(column)
            for one in value if isinstance(value, list) else [value]:
                if one is not None and one != "":
                    yield _medium(kind, one, folder)


def _medium(kind: Literal["video", "image"], value: Any, folder: Path) -> Medium:
    if isinstance(value, Mapping):
        value = value.get("path") or value.get("url")
        if value is None:
            raise RowError(f"its {kind} has no path; write it to a file of its own")
    if isinstance(value, Medium):
        return value
    if not isinstance(value, str):
        raise RowError(f"its {kind} is no path")
    if file := _FILE.match(value):
        return Medium(kind, unquote(file[1]))
    if elsewhere := _ELSEWHERE.match(value):
        raise RowError(f"its {kind} is not a file of this machine ({elsewhere[0]}:)")
    return Medium(kind, str(folder / value))


def _media_in(content: Any, folder: Path) -> Iterator[Medium]:
    """Media among the parts of a message."""
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, Mapping):
            continue
        kinds: tuple[Literal["video", "image"], ...] = ("video", "image")
        for kind in kinds:
            value = part.get(f"{kind}_url", part.get(kind))
            if part.get("type") in (kind, f"{kind}_url") and value is not None:
                yield _medium(kind, value, folder)


def _check_media(media: Sequence[Medium]) -> None:
    videos = sum(one.kind == "video" for one in media)
    if videos > 1 or (videos and len(media) > 1):
        raise RowError(f"shows {videos} videos and {len(media) - videos} pictures; one video or pictures can be shown")


def _said(messages: Any, *, role: str, content: str) -> list[tuple[str, Any]]:
    """Role and content of each message."""
    if not isinstance(messages, list) or not messages or len(messages) > _MOST_TURNS:
        raise RowError("its conversation is no list of messages")
    said = []
    for message in messages:
        if not isinstance(message, Mapping) or _ROLES.get(str(message.get(role))) is None:
            raise RowError(f"has a message whose {role!r} is none of {', '.join(_ROLES)}")
        if message.get("weight", 1) == 0:
            raise RowError("has a message of weight 0, and every answer is learned")
        said.append((_ROLES[str(message[role])], message.get(content)))
    return said


def _turns(said: Sequence[tuple[str, Any]]) -> tuple[Turn, ...]:
    """Questions with their answers; what comes before a question without being one is part of it."""
    turns: list[Turn] = []
    asked: list[str] = []
    answered: list[str] = []
    for role, content in [*said, ("user", "")]:
        text = _text(content)
        if role == "assistant":
            if not asked:
                raise RowError("begins with an answer")
            answered.append(text)
        else:
            if answered:
                turns.append(Turn("\n".join(filter(None, asked)), "\n".join(filter(None, answered))))
                asked, answered = [], []
            asked.append(text)
    if not turns:
        raise RowError("has no answer")
    if any(not turn.question or not turn.answer for turn in turns):
        raise RowError("has an empty question or answer")
    return tuple(turns)


def _text(content: Any) -> str:
    if isinstance(content, list):
        parts = (part.get("text") if isinstance(part, Mapping) else part for part in content)
        content = "\n".join(part for part in parts if isinstance(part, str))
    if content is None:
        return ""
    if not isinstance(content, str):
        raise RowError("has a message that is no text")
    return _TAG.sub("\n", content).strip()


def _question(row: Mapping[str, Any], form: Choices) -> Turn:
    question, answer = row.get("question"), row.get("answer")
    if not isinstance(question, str) or not question.strip():
        raise RowError("has no question")
    question = _text(question)
    choices = row.get("choices")
    if choices:
        if not isinstance(choices, list) or len(choices) > _MOST_CHOICES:
            raise RowError(f"its choices are no list of 1 to {_MOST_CHOICES} texts")
        texts = [str(one).strip() for one in choices]
        right = _right(answer, texts)
        if form == "words":
            return Turn(question, texts[right])
        listed = [f"{chr(ord('A') + index)}. {text}" for index, text in enumerate(texts)]
        return Turn("\n".join([question, *listed]), listed[right])
    if isinstance(answer, list):
        # Several wordings count as right; the first is the one to learn.
        answer = answer[0] if answer else None
    if isinstance(answer, int | float) and not isinstance(answer, bool) and abs(answer) < math.inf:
        answer = str(answer)
    if not isinstance(answer, str) or not answer.strip():
        raise RowError("has no answer")
    return Turn(question, answer.strip())


def _right(answer: Any, texts: Sequence[str]) -> int:
    """Index of the right choice: by its index, its text or its letter."""
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(texts):
        if str(answer) in texts and texts.index(str(answer)) != answer:
            raise RowError(f"its answer {answer} is one of its choices and the index of another; give it as text")
        return answer
    if isinstance(answer, str):
        if answer.strip() in texts:
            return texts.index(answer.strip())
        letters = [chr(ord("A") + index) for index in range(len(texts))]
        if answer.strip().upper() in letters:
            return letters.index(answer.strip().upper())
    raise RowError(f"its answer {answer!r} is neither one of its choices nor the letter or index of one")


def _seconds(row: Mapping[str, Any], column: str) -> float | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    # Compared, not converted: JSON has whole numbers that no float can hold.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise RowError(f"its {column} {str(value)[:40]} is no number of seconds")
    return float(value)


def _is_unicode(text: str) -> bool:
    """JSON may hold half a character, which no tokenizer reads."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
