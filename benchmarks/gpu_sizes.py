"""A host in its real size on a GPU: from a file to the first token, and a training step of each stage.

    python -m benchmarks.gpu_sizes [--size 7B] [--budget 1400 --budget 256] [--part latency ...] [--json FILE]

Hosts are Qwen2.5-VL's published sizes with random weights in bfloat16 (72B: in 4 bits) and the report's adapter, fresh.
What a network says is then noise; what it costs is the same, since no layer looks at its weights to decide what to do.

*latency*: each way to show a video (`benchmarks.gpu_ways`) in interleaved rounds: reading the file, making the prompt,
and the first token (copying to the GPU, vision tower, adapter, prefill, head), with medians and the most GPU memory.
The tower and the adapter are timed by themselves as well. `--budget` is the most image tokens of a picture. `windows`
says whether the tower calls attention once for each window (what transformers does) or once for all of them.

*stage1* and *stage2*: micro-batches as `himmel train` computes them (bfloat16 autocast, adapter and LoRA in float32,
the language model's layers computed twice), and AdamW's step by itself. Hours are those of all 180,480 videos of
LLaVA-Video-178K on 8 such devices that need no time to talk to each other, their files read before.

`--size tiny` rehearses everything in seconds, without a GPU.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor
from transformers.utils import logging

from benchmarks.footage import FOOTAGE, footage, keyframe_spacing, lengthen
from benchmarks.gpu_bench import MIB, Bench, peak, timed
from benchmarks.gpu_hosts import SIZES, build_network, count_parameters, use_windows_at_once, write_host
from benchmarks.gpu_train import measure_stage_1, measure_stage_2
from benchmarks.gpu_ways import WAYS, Shown, show
from himmel._versions import versions
from himmel.adapter import StreamInputs
from himmel.model import HimmelForConditionalGeneration

PARTS = ("latency", "stage1", "stage2")
WINDOWS = ("one by one", "at once")


def measure_latency(
    bench: Bench, model: HimmelForConditionalGeneration, budget: int, *, ways: Sequence[str], **facts: Any
) -> None:
    """Each way in interleaved rounds, after one to warm up."""
    processor = bench.processor(budget)
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    shown: dict[str, Shown] = {}
    for number in range(bench.options.rounds + 1):
        for name, kept in seconds.items():
            shown[name] = show(WAYS[name], bench.video, processor, threads=bench.options.threads)
            row = _one_round(bench, model, shown[name])
            if number:
                kept.append(row)
    for name, kept in seconds.items():
        inputs = shown[name].inputs
        most = peak(bench.device, partial(_first_token, model, inputs))
        row = {key: round(median(one[key] for one in kept), 5) for key in kept[0]}
        spread = [round(f(one["total"] for one in kept), 5) for f in (min, max)]
        bench.keep(
            "latency",
            {"way": name, "budget": budget, **facts, "tokens": processor.count_tokens(inputs), **row}
            | {"total_least_most": spread, "peak_mib": round(most)},
        )


def _one_round(bench: Bench, model: HimmelForConditionalGeneration, shown: Shown) -> dict[str, float]:
    inputs, device = shown.inputs, bench.device
    first = timed(device, lambda: _first_token(model, inputs))
    images = {name: inputs[name].to(device) for name in ("pixel_values", "image_grid_thw")}
    with torch.no_grad():
        tower = timed(device, lambda: model.host.image_features(model.network, images))
        adapter = 0.0
        if "motion" in inputs:
            streams = StreamInputs(**{name: inputs[name] for name in ("motion", "residual", "context", "step_mask")})
            adapter = timed(device, lambda: model.adapter(streams.to(device)))
    return {
        "read": shown.read,
        "prepare": shown.prepare,
        "first_token": first,
        "total": shown.read + shown.prepare + first,
        "tower": tower,
        "adapter": adapter,
        "rest": first - tower - adapter,
    }


def _first_token(model: HimmelForConditionalGeneration, inputs: Any) -> Tensor:
    return model.generate(**inputs, max_new_tokens=1, do_sample=False, pad_token_id=0)


def latency(bench: Bench) -> None:
    """All budgets; LoRA as after merging, and at last one way with LoRA beside the weights."""
    model = bench.model(lora_rank=0)
    for windows in bench.options.windows:
        use_windows_at_once(bench.network, on=windows == "at once")
        for budget in bench.options.budget:
            measure_latency(bench, model, budget, ways=bench.options.way, lora="merged", windows=windows)
    if "at once" in bench.options.windows:
        bench.record["windows_difference"] = _windows_difference(bench, model)
    model.detach()
    if not bench.packed and "himmel" in bench.options.way:
        use_windows_at_once(bench.network, on=windows == "at once")
        model = bench.model(lora_rank=32)
        for budget in bench.options.budget:
            measure_latency(bench, model, budget, ways=["himmel"], lora="beside", windows=windows)
        model.detach()
    use_windows_at_once(bench.network, on=False)


def _windows_difference(bench: Bench, model: HimmelForConditionalGeneration) -> float:
    """How far the two attentions' features are apart: norm of the difference over the norm."""
    processor = bench.processor(bench.options.budget[0])
    inputs = show(WAYS["anchors"], bench.video, processor, threads=bench.options.threads).inputs
    images = {name: inputs[name].to(bench.device) for name in ("pixel_values", "image_grid_thw")}
    features = []
    for on in (False, True):
        use_windows_at_once(bench.network, on=on)
        with torch.no_grad():
            seen = model.host.image_features(model.network, images)
        features.append(torch.cat(list(cast(Any, seen.pooler_output))).float())
    return float((features[1] - features[0]).norm() / features[0].norm())


def main() -> None:
    """Measure and print; each row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="7B")
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable; default: all")
    parser.add_argument("--way", action="append", choices=WAYS, help="repeatable; default: all")
    parser.add_argument("--budget", action="append", type=int, help="repeatable; default: 1400 and 256")
    parser.add_argument("--windows", action="append", choices=WINDOWS, help="repeatable; default: all that run here")
    parser.add_argument("--clip", choices=FOOTAGE, default="cabac-1.4", help="720p, see benchmarks.footage")
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--videos", action="append", type=int, help="of a training micro-batch; repeatable")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 8), help="that read the file")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="result file")
    options = parser.parse_args()
    options.part, options.way = options.part or list(PARTS), options.way or list(WAYS)
    options.budget = options.budget or [1400, 256]
    options.windows = options.windows or list(WINDOWS[: 2 if options.device.startswith("cuda") else 1])
    torch.manual_seed(0)
    logging.set_verbosity_error()
    device, size = torch.device(options.device), SIZES[options.size]
    with tempfile.TemporaryDirectory(prefix="himmel-bench-") as name:
        folder, video = Path(name) / "host", Path(name) / "long.mp4"
        write_host(folder, size)
        lengthen(footage(options.clip), video, minutes=options.minutes)
        dtype, packed = (torch.float32 if device.type == "cpu" else torch.bfloat16), options.size == "72B"
        network = build_network(folder, device, dtype=dtype, four_bits=packed)
        found = count_parameters(network)
        if size.parameters not in (0, found):
            print(f"{found:,} parameters where the published weights have {size.parameters:,}.", file=sys.stderr)
        record = {
            "benchmark": "gpu_sizes",
            "command": shlex.join(["python", "-m", "benchmarks.gpu_sizes", *sys.argv[1:]]),
            "card": torch.cuda.get_device_name(device) if device.type == "cuda" else "none",
            "cuda": torch.version.cuda,
            "versions": versions(),
            "processors": os.cpu_count(),
            "host": f"Qwen2.5-VL-{options.size}, random weights, {'4 bits' if packed else str(dtype)}",
            "parameters": found,
            "published_parameters": size.parameters,
            "clip": {"name": options.clip, "minutes": options.minutes, "keyframe_seconds": keyframe_spacing(video)},
            "rounds": options.rounds,
            "threads": options.threads,
        }
        if device.type == "cuda":
            record["weights_mib"] = round(torch.cuda.memory_allocated(device) / MIB)
        bench = Bench(options, folder, size.adapter, video, network, packed, record)
        print(json.dumps(record), flush=True)
        if "latency" in options.part:
            latency(bench)
        if "stage1" in options.part:
            measure_stage_1(bench)
        if "stage2" in options.part:
            measure_stage_2(bench)


if __name__ == "__main__":
    main()
