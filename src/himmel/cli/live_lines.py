"""The lines of `himmel watch`: events, answers and notices, whole, whichever thread they come from."""

import json
import sys
import threading
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from himmel.choices import LiveClock
from himmel.cli.console import console

if TYPE_CHECKING:
    from himmel.methods.watch import LiveAnswer
    from himmel.video import LiveEvent, LiveSpan


class LinePrinter:
    """Prints lines as soon as there are any: for people, what is about the stream or the program itself on stderr.

    Args:
        as_json: print an object a line, all of them on stdout.
        clock: which times to tell people.
    """

    def __init__(self, *, as_json: bool, clock: LiveClock) -> None:
        self._as_json, self._clock = as_json, clock
        self._beside = Console(stderr=True, highlight=False)
        self._lock = threading.Lock()

    def event(self, event: "LiveEvent") -> None:
        """Print an event or a notice."""
        if self._as_json:
            self._write(event.to_dict())
        else:
            where = self._beside if event.kind == "notice" else console
            self._print(where, f"[dim]{escape(self._when(event))}[/dim]  {escape(event.words)}")

    def answer(self, given: "LiveAnswer") -> None:
        """Print an answer."""
        answer = given.answer
        if self._as_json:
            self._write({"kind": "answer", **given.window.to_dict(), **asdict(answer)})
            return
        shares = ", ".join(f"{choice.text} {choice.probability:.3f}" for choice in answer.choices)
        line = f"[dim]{escape(self._when(given.window))}[/dim]  {escape(answer.question)}"
        told = f"[bold]{escape(answer.text)}[/bold]" + (f" [dim]({escape(shares)})[/dim]" if shares else "")
        self._print(console, f"{line} {told}")

    def failure(self, question: str, sentence: str) -> None:
        """Print why a question has no answer."""
        if self._as_json:
            self._write({"kind": "failure", "question": question, "words": sentence})
        else:
            self.say(sentence)

    def say(self, sentence: str) -> None:
        """Tell people something on stderr; JSON has no place for it."""
        if not self._as_json:
            self._print(self._beside, escape(f"himmel: {sentence}"))

    def _print(self, where: Console, line: str) -> None:
        with self._lock:
            where.print(line, soft_wrap=True)
            where.file.flush()

    def _write(self, content: dict[str, Any]) -> None:
        with self._lock:
            sys.stdout.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")
            sys.stdout.flush()

    def _when(self, span: "LiveSpan") -> str:
        if self._clock == "wall":
            begin, end = (f"{time:%H:%M:%S}" for time in (span.wall_start, span.wall_end))
        else:
            begin, end = (_clock_time(seconds) for seconds in (span.start, span.end))
        return begin if begin == end else f"{begin}-{end}"


def _clock_time(seconds: float) -> str:
    """Hours, minutes and seconds to a tenth."""
    whole, tenths = divmod(round(10 * seconds), 10)
    return f"{timedelta(seconds=whole)}.{tenths}"
