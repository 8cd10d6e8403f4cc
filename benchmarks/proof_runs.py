"""Running the `himmel` command line for `benchmarks.corpus_proof`, and killing it on the way."""

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LOOK: Final = 0.005
_END: Final = 60.0
_TAIL: Final = 3000


class ProofError(Exception):
    """Something does not hold; the message says what."""


def check(holds: bool, what: str) -> None:
    """Go on only if something holds.

    Raises:
        ProofError: it does not; `what` says what should.
    """
    if not holds:
        raise ProofError(what)


@dataclass(frozen=True)
class Kill:
    """When a verb gets SIGKILL.

    Attributes:
        is_time: asked again and again while it runs.
        mark: file that is written when it has been done, so that it is not done again.
    """

    is_time: Callable[[], bool]
    mark: Path


def himmel(arguments: Sequence[str], *, log: Path, code: int = 0, kills: Sequence[Kill] = ()) -> str:
    """Run a verb to its end, and start it again each time it was killed.

    Args:
        arguments: of `himmel`.
        log: what it writes to stderr is appended to this file.
        code: the exit code that is right.
        kills: one after the other.

    Returns:
        What its last run wrote to stdout.

    Raises:
        ProofError: it ended in another way, or before it could be killed, or something that it had started went on.
    """
    command = [str(Path(sys.executable).with_name("himmel")), *arguments]
    for kill in kills:
        if not kill.mark.exists():
            _run_until(kill.is_time, command, log)
            kill.mark.touch()
    with log.open("ab") as errors:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
    if done.returncode != code:
        raise _ended(done.returncode, f"{code}", command, log)
    return done.stdout.decode()


def _run_until(is_time: Callable[[], bool], command: list[str], log: Path) -> None:
    with log.open("ab") as errors:
        # A session of its own, so that what it starts can be told from everything else.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
    try:
        while not is_time():
            if process.poll() is not None:
                raise _ended(process.returncode, "that it still runs, to be killed", command, log)
            time.sleep(_LOOK)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    give_up = time.monotonic() + _END
    while left := _members(process.pid):
        check(time.monotonic() < give_up, f"{left} processes that {command[1]!r} had started outlive it")
        time.sleep(0.1)


def _members(session: int) -> int:
    """How many processes of a session still run; 0 where the system does not tell."""
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold spaces.
            state, _, _, own = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        count += own == str(session) and state != "Z"
    return count


def _ended(code: int, wanted: str, command: list[str], log: Path) -> ProofError:
    said = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    return ProofError(f"`{shlex.join(['himmel', *command[1:]])}` ended with {code}, wanted is {wanted}. {log}:\n{said}")
