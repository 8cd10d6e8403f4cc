"""Work for other processes: they import it from the path, where a test's own module can't be found."""

import os
import signal
import time

import numpy as np

from himmel.data.cache import StreamCache
from himmel.data.workers import MEGABYTE
from himmel.errors import VideoError


class TooLargeToSend:
    """There is no memory for the copy of it that goes to another process."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        raise MemoryError


def misbehave(what: str) -> int | TooLargeToSend:
    """What a file can make a reader do; the worker's process where it behaves."""
    match what:
        case "hang":
            time.sleep(600)
        case "slow":
            time.sleep(3)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "alarm":
            os.kill(os.getpid(), signal.SIGALRM)
        case "exit":
            os._exit(7)
        case "fill":
            np.ones(600 * MEGABYTE, np.uint8)
        case "send":
            return TooLargeToSend()
        case "refuse":
            raise VideoError("it is a poem.")
        case "bug":
            raise KeyError("key")
    return os.getpid()


def anchor_frames(cache: StreamCache, key: str) -> list[int]:
    """What another process reads of a cache that it is sent."""
    return [anchor.frame for anchor in cache.read(key).anchors]
