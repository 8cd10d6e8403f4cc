"""What makes x264 write the same bytes each time."""

from functools import cache
from pathlib import Path


@cache
def repeatable_x264() -> dict[str, str]:
    """Parameters of x264, for `x264-params`, without which it writes other bytes now and then; empty where none are.

    The AVX-512 code of x264 165 takes other decisions in one of ten to one of thousands of runs over the same pictures,
    on one thread; its AVX2 code took the same in each of 2,700. Linux alone tells its processor's abilities in a file,
    so elsewhere nothing is set.
    """
    try:
        abilities = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    return {"asm": "AVX2"} if "avx512bw" in abilities else {}
