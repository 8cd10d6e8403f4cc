"""What x264 is told for all clips, so that it writes the same bytes each time."""

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# The AVX-512 code of x264 165 takes other decisions now and then over the same pictures; its AVX2 code does not.
_ASM = ":asm=AVX2" if _CPUINFO.is_file() and "avx512bw" in _CPUINFO.read_text() else ""
PARAMETERS = f"threads=1{_ASM}"
