"""How much memory this process has taken."""

import sys
from pathlib import Path


def peak_memory() -> int:
    """Most resident memory of this process so far, in bytes."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    elif sys.platform == "linux":
        # What getrusage says there begins with the parent's peak.
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])
    else:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
