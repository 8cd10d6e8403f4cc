"""What is checked before a verb starts work."""

import os
from pathlib import Path

from himmel.errors import UsageError


def check_writable(path: Path | None) -> None:
    """Refuse a place that nothing can be written to, before any work is done for it.

    Raises:
        UsageError: `path` is a folder, or its folder does not exist or is not writable.
    """
    if path is None:
        return
    # os.path answers False about a path that is too long; Path raises.
    if os.path.isdir(path):
        raise UsageError(f"{str(path)!r} is a folder; name a file in it.")
    if not os.path.isdir(path.parent) or not os.access(path.parent, os.W_OK):
        raise UsageError(f"Nothing can be written to {str(path.parent)!r}; name a folder that exists and is writable.")


def check_question(question: str, choices: list[str]) -> None:
    """Refuse an empty question, and options that leave nothing to choose.

    Raises:
        UsageError: one of these.
    """
    if not question.strip():
        raise UsageError("The question is empty; ask something, for example 'What moves?'.")
    if any(not text.strip() for text in choices):
        raise UsageError("A --choice is empty; give each option a text.")
    if len(choices) == 1:
        raise UsageError(f"One --choice, {choices[0]!r}, leaves nothing to choose; give at least two.")
    if len(set(choices)) < len(choices):
        raise UsageError(f"The options {choices} repeat one; give each --choice once.")
