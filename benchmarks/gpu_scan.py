"""The report's adapter on a GPU: as it is, and compiled by torch.compile.

    python -m benchmarks.gpu_scan [--intervals 8] [--steps 16 --steps 128] [--rounds 20] [--json FILE]

Times the whole adapter and its state-space encoder alone (whose scan runs in transformers' plain torch path, where the
packages mamba-ssm and causal-conv1d are not installed), in float32 and under bfloat16 autocast, without gradient; and
the encoder forward and backward. `graphs` is torch.compile with mode="reduce-overhead", which replays the kernels from
a recorded graph, so that the time between their launches goes. Medians; compiling is not timed, but reported.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers.utils.import_utils import is_causal_conv1d_available, is_mamba_2_ssm_available

from benchmarks.adapter_time import random_streams
from benchmarks.gpu_bench import timed
from himmel._files import atomic_path
from himmel._versions import versions
from himmel.adapter import AdapterConfig, MotionAdapter

FORMS: dict[str, dict[str, Any] | None] = {"eager": None, "compiled": {}, "graphs": {"mode": "reduce-overhead"}}


def parts(adapter: MotionAdapter, form: str, *, intervals: int, steps: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    device, settings = adapter.device, FORMS[form]
    streams = random_streams(adapter.config, intervals=intervals, steps=steps).to(device)
    fused = torch.randn(intervals, steps, adapter.config.hidden_size, device=device)
    whole: Any = adapter if settings is None else torch.compile(adapter, **settings)
    encoder: Any = adapter.encoder if settings is None else torch.compile(adapter.encoder, **settings)

    def both() -> None:
        encoder(fused, streams.step_mask)[1].float().square().mean().backward()
        adapter.zero_grad(set_to_none=True)

    return {
        "adapter": torch.no_grad()(lambda: whole(streams)),
        "encoder": torch.no_grad()(lambda: encoder(fused, streams.step_mask)),
        "encoder, forward and backward": both,
    }


def measure(run: Callable[[], object], device: torch.device, *, half: bool, rounds: int) -> dict[str, Any]:
    """Seconds of the first call, which compiles, and milliseconds of one after three to warm up."""
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        try:
            first = timed(device, run)
        except Exception as error:  # what a compiler may raise has no class of its own
            return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
        for _ in range(3):
            run()
        return {"first_s": round(first, 3), "ms": round(1000 * median(timed(device, run) for _ in range(rounds)), 3)}


def main() -> None:
    """Print one row per part, type and form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--intervals", type=int, default=8)
    parser.add_argument("--steps", action="append", type=int, help="repeatable; default: 16 and 128")
    parser.add_argument("--form", action="append", choices=FORMS, help="repeatable; default: all")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.manual_seed(0)
    adapter = MotionAdapter(AdapterConfig.paper()).eval().to(device)
    record: dict[str, Any] = {
        "benchmark": "gpu_scan",
        "command": shlex.join(["python", "-m", "benchmarks.gpu_scan", *sys.argv[1:]]),
        "card": torch.cuda.get_device_name(device) if device.type == "cuda" else "none",
        "versions": versions(),
        "kernels": {"mamba-ssm": is_mamba_2_ssm_available(), "causal-conv1d": is_causal_conv1d_available()},
        "intervals": options.intervals,
        "rows": [],
    }
    for steps, form in product(options.steps or [16, 128], options.form or FORMS):
        torch.compiler.reset()
        for part, run in parts(adapter, form, intervals=options.intervals, steps=steps).items():
            for half in (False, True):
                row = {"part": part, "steps": steps, "type": "bfloat16" if half else "float32", "form": form}
                record["rows"].append(row | measure(run, device, half=half, rounds=options.rounds))
                print(json.dumps(record["rows"][-1]), flush=True)
                if options.json is not None:
                    with atomic_path(options.json) as file:
                        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
