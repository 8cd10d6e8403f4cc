"""How the state-space encoder's time grows with the number of steps of an interval.

    python -m benchmarks.ssm_steps [--size paper|nano] [--intervals 4] [--rounds 3] [--json]

Runs the encoder alone (bidirectional stack and token queries) on one thread, without gradient, for 16 to 512 steps, and
prints processor time, the least of `rounds` interleaved rounds. The exponent is the slope of log time over log steps,
by least squares: 1 is linear; attention among steps tends to 2. It is given for the steps that an interval may have (16
to 128), and beyond: there the library's plain torch path, taken where the fused kernels are not installed, joins its
chunks by a matrix with a row and a column for each, which grows with the square; the kernels do not do so.
`--chunk` sets the steps of a chunk.
"""

import argparse
import json
import time

import numpy as np
import torch

from himmel.adapter import AdapterConfig
from himmel.adapter.ssm import MotionSSM

MOST_STEPS = 128
STEPS = (16, 32, 64, 128, 256, 512)


def measure(config: AdapterConfig, *, intervals: int, rounds: int) -> dict[int, float]:
    """Processor seconds of a forward pass by number of steps."""
    torch.manual_seed(0)
    encoder = MotionSSM(config).eval()
    torch.nn.init.normal_(encoder.tokens.queries)
    torch.nn.init.normal_(encoder.tokens.null_entry)
    best = dict.fromkeys(STEPS, float("inf"))
    for _ in range(rounds):
        for steps in STEPS:
            fused, mask = torch.randn(intervals, steps, config.hidden_size), torch.ones(intervals, steps).bool()
            begin = time.process_time()
            with torch.inference_mode():
                encoder(fused, mask)
            best[steps] = min(best[steps], time.process_time() - begin)
    return best


def exponent(seconds: dict[int, float], *, least: int, most: int) -> float:
    """Slope of log seconds over log steps for `least` to `most` steps."""
    chosen = [steps for steps in seconds if least <= steps <= most]
    return float(np.polyfit(np.log(chosen), np.log([seconds[steps] for steps in chosen]), 1)[0])


def main() -> None:
    """Print one row per number of steps, and the exponents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("paper", "nano"), default="paper")
    parser.add_argument("--intervals", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=AdapterConfig.ssm_chunk_size)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    make = AdapterConfig.paper if options.size == "paper" else AdapterConfig.nano
    seconds = measure(make(ssm_chunk_size=options.chunk), intervals=options.intervals, rounds=options.rounds)
    within = exponent(seconds, least=STEPS[0], most=MOST_STEPS)
    beyond = exponent(seconds, least=MOST_STEPS, most=STEPS[-1])
    if options.json:
        print(json.dumps({**vars(options), "seconds": seconds, "exponent": within, "exponent_beyond": beyond}))
        return
    print(f"{options.size} size, {options.intervals} intervals, chunks of {options.chunk}, torch {torch.__version__}")
    for steps, value in seconds.items():
        print(f"{steps:6} steps {1000 * value:9.1f} ms {1e6 * value / steps / options.intervals:9.1f} us a step")
    print(f"exponent {within:.2f} for 16 to {MOST_STEPS} steps, {beyond:.2f} for {MOST_STEPS} to {STEPS[-1]}")


if __name__ == "__main__":
    main()
