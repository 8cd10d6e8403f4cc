"""What commands say now and then of their progress, where stderr is no terminal and the machine is slow."""

import re

_LINE = re.compile(r"^[A-Z][^:\n]*: \d+ (s so far|of \d+\b.*)\n", re.MULTILINE)


def without_progress(err: str) -> str:
    """What a command wrote to stderr, without these lines."""
    return _LINE.sub("", err)
