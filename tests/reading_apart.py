"""Reading videos as processes of their own can import it, with some that hang or end the process."""

import os
import signal
import time
from pathlib import Path

from himmel.data.samples.extract import Extraction, VideoRead, extract


def read_or_hang(wanted: Extraction) -> VideoRead:
    """Hang at "hangs.mp4", end the process at "crashes.mp4", and read any other.

    Each of the two adds its name to the file that the environment calls BEGUN.
    """
    if wanted.medium.path in ("hangs.mp4", "crashes.mp4"):
        with Path(os.environ["BEGUN"]).open("a") as file:
            file.write(f"{wanted.medium.path}\n")
    if wanted.medium.path == "hangs.mp4":
        time.sleep(3600)
    if wanted.medium.path == "crashes.mp4":
        os.kill(os.getpid(), signal.SIGKILL)
    return extract(wanted)
