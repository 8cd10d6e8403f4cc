"""What the parts of `benchmarks.gpu_sizes` share: the host, its processors, the clock and the result file."""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from himmel._files import atomic_path
from himmel.adapter import AdapterConfig
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor

MIB = 2**20


@dataclass
class Bench:
    """What is measured, on what, and what came out; written again after each part.

    Attributes:
        folder: of the host, without weights.
        adapter: what differs from the report's adapter.
        video: the file.
        network: the host's weights.
        packed: whether they are stored in 4 bits.
        record: the result file's content.
    """

    options: argparse.Namespace
    folder: Path
    adapter: dict[str, Any]
    video: Path
    network: Any
    packed: bool
    record: dict[str, Any]
    processors: dict[int, HimmelProcessor] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return cast(torch.device, self.network.device)

    def processor(self, budget: int) -> HimmelProcessor:
        """One that gives a picture at most `budget` tokens."""
        if budget not in self.processors:
            self.processors[budget] = HimmelProcessor(self.config(lora_rank=0, max_anchor_tokens=budget))
        return self.processors[budget]

    def config(self, **changes: Any) -> HimmelConfig:
        """The report's setting on this host."""
        width = int(self.network.config.get_text_config().hidden_size)
        adapter = AdapterConfig.paper(width, **self.adapter)
        return HimmelConfig(host=str(self.folder), adapter_config=adapter, **changes)

    def model(self, *, lora_rank: int) -> HimmelForConditionalGeneration:
        """The host with a fresh adapter."""
        return HimmelForConditionalGeneration.from_config(self.config(lora_rank=lora_rank), network=self.network)

    def keep(self, part: str, row: dict[str, Any]) -> None:
        """Print a row, and write it down with all before it."""
        self.record.setdefault(part, []).append(row)
        print(part, json.dumps(row), flush=True)
        if self.options.json is not None:
            with atomic_path(self.options.json) as file:
                file.write_text(json.dumps(self.record, indent=1) + "\n", encoding="utf-8")


def timed(device: torch.device, run: Callable[[], object]) -> float:
    """Seconds until the device has done it."""
    finish(device)
    begin = time.perf_counter()
    run()
    finish(device)
    return time.perf_counter() - begin


def finish(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(device: torch.device, run: Callable[[], object]) -> float:
    """The most GPU memory in MiB while it runs, weights included; 0 without a GPU."""
    if device.type != "cuda":
        return 0.0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    run()
    finish(device)
    return torch.cuda.max_memory_allocated(device) / MIB
