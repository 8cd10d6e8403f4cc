"""What a second question about a video costs beside the first: nothing is read, prepared or looked at again.

    python -m benchmarks.serve_sharing [--methods himmel dense] [--minutes 1] [--rounds 3] [--threads 1] [--json]

Each round asks two questions about 720p in a session of its own (the default model; loaded and warm before), and both
once more in a session without a prompt cache, whose language model reads the video's tokens again. The medians over
rounds are printed: seconds of each question by stage, and how many times sooner the second is answered than the first,
and than without the prompt cache. One new token is asked for, so that what is shared shows.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.clips import long_clip
from benchmarks.process import warn_if_busy
from himmel.methods.session import Session

_QUESTIONS = ("Which way does the camera move?", "What is in the video?")


def measure(clip: Path, method: str, *, rounds: int, threads: int) -> dict[str, Any]:
    """Medians of both questions."""
    warm = Session()
    taken: list[list[float]] = []
    stages: list[dict[str, float]] = []
    cached = 0
    for _ in range(rounds):
        row = []
        for session in (Session(warm.model), Session(warm.model, prompt_cache_bytes=0)):
            for question in _QUESTIONS:
                begin = time.perf_counter()
                answer = session.ask(clip, question, method=method, max_new_tokens=1, threads=threads)  # type: ignore[arg-type]
                row.append(time.perf_counter() - begin)
                stages.append(answer.seconds)
                cached = max(cached, answer.cached_tokens)
        taken.append(row)
    first, second, _, uncached = (statistics.median(column) for column in zip(*taken, strict=True))
    return {
        "method": method,
        "first": first,
        "second": second,
        "second_without_prompt_cache": uncached,
        "ratio": first / second,
        "ratio_of_prompt_cache": uncached / second,
        "prompt_tokens": sum(answer.tokens.values()),
        "cached_tokens": cached,
        "stages_first": stages[-4],
        "stages_second": stages[-3],
        "stages_second_without_prompt_cache": stages[-1],
    }


def main() -> None:
    """Make a clip, ask twice by each method, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["himmel", "dense"])
    parser.add_argument("--minutes", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
        clip = Path(folder) / "clip.mp4"
        long_clip(clip, minutes=options.minutes)
        rows = [measure(clip, name, rounds=options.rounds, threads=options.threads) for name in options.methods]
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'method':<10}{'first, s':>10}{'second, s':>11}{'ratio':>8}{'without prompt cache, s':>25}{'ratio':>8}")
    for row in rows:
        print(
            f"{row['method']:<10}{row['first']:>10.2f}{row['second']:>11.2f}{row['ratio']:>8.2f}"
            f"{row['second_without_prompt_cache']:>25.2f}{row['ratio_of_prompt_cache']:>8.2f}"
            f"   {row['cached_tokens']} of {row['prompt_tokens']} tokens cached"
        )
        for which in ("first", "second", "second_without_prompt_cache"):
            stages = ", ".join(f"{name} {value:.3f}" for name, value in row[f"stages_{which}"].items())
            print(f"  {which.replace('_', ' ')}: {stages}")


if __name__ == "__main__":
    main()
