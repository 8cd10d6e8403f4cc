"""What a command leaves running when it ends."""

import os
import time


def gone(group: int) -> bool:
    """Whether all processes of a group end within a minute."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
