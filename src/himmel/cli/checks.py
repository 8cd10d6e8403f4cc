"""What is checked before a verb starts work."""

import os
from pathlib import Path

from himmel import _checks
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


def check_picture(path: Path | None) -> None:
    """`check_writable`, and refuse a name from which no format follows.

    Raises:
        UsageError: one of these.
    """
    check_writable(path)
    if path is not None:
        _checks.check_picture(path)
