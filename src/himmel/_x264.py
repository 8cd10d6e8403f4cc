"""What makes x264 write the same bytes each time."""

from functools import cache
from pathlib import Path


@cache
def repeatable_x264() -> dict[str, str]:
    """Parameters of x264, for `x264-params`, without which it writes other bytes now and then; empty where none are.

    The AVX-512 code of x264 165 takes other decisions in some of ten to a thousand runs over the same pictures, one
    thread or more, depending on what else the process has in memory; its AVX2 code takes the same each time. Linux
    alone tells its processor's abilities in a file, so elsewhere nothing is set.
    """
    try:
        abilities = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    return {"asm": "AVX2"} if "avx512bw" in abilities else {}
