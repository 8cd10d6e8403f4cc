"""What an interval costs in the adapter, beside what an anchor costs in the host.

    python -m benchmarks.adapter_time [--host NAME ...] [--encoder ssm] [--steps N] [--tokens N] [--rounds 3] [--json]

Hosts: nano, which is the real one with the packaged checkpoint (`himmel nano get` fetches it), and those of
`benchmarks.host_sizes`, in their published sizes with random weights and the report's adapter. By default an interval
has 16 steps and 64 motion tokens (nano: 8 and 9, as trained).

For an anchor: the vision tower with its projector reads one picture, and the language model prefills its image tokens.
For an interval: the adapter's forward pass, and the prefill of its motion tokens. The language model of the published
sizes runs on 2 layers, and its time is multiplied up to all of them; the head, which a prefill runs at one position,
and attention to the rest of the prompt are left out for both. Nano runs 8 anchors and 8 intervals at once, as in a
prompt, and divides; the others run one, which costs about the same there. Everything is float32, on one thread, without
gradient; processor time, the least of `rounds` interleaved rounds.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from transformers.utils import logging

from benchmarks.host_sizes import PUBLISHED
from himmel.adapter import AdapterConfig, MotionAdapter, StreamInputs
from himmel.methods.models import default_checkpoint
from himmel.model import HimmelForConditionalGeneration

NANO = "nano"
NANO_AT_ONCE = 8
# The host's own tower, which `shared_vit` sends every map through, is timed as the anchor's.
ENCODERS = ("ssm", "resnet18", "siglip", "none")


@dataclass(frozen=True)
class Cost:
    """Processor seconds of one host's parts, for one anchor and one interval.

    Attributes:
        steps: of an interval; `motion_tokens` likewise.
        image_tokens: of an anchor.
        tower: vision tower and projector on one picture.
        image_prefill: language model on the image tokens.
        adapter: forward pass for one interval.
        motion_prefill: language model on the motion tokens.
    """

    host: str
    steps: int
    motion_tokens: int
    image_tokens: int
    tower: float
    image_prefill: float
    adapter: float
    motion_prefill: float

    @property
    def adapter_to_anchor(self) -> float:
        """The adapter's time over the host's for an anchor."""
        return self.adapter / (self.tower + self.image_prefill)

    @property
    def interval_to_anchor(self) -> float:
        """The same with the prefill of the motion tokens."""
        return (self.adapter + self.motion_prefill) / (self.tower + self.image_prefill)


def best_of(parts: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Least processor seconds of each, over interleaved rounds, after one to warm up."""
    best = dict.fromkeys(parts, float("inf"))
    for number in range(rounds + 1):
        for name, run in parts.items():
            begin = time.process_time()
            with torch.inference_mode():
                run()
            if number:
                best[name] = min(best[name], time.process_time() - begin)
    return best


def random_streams(config: AdapterConfig, *, intervals: int, steps: int) -> StreamInputs:
    """Maps of noise for intervals that have all their steps."""
    return StreamInputs(
        motion=torch.randn(intervals, steps, *config.motion_shape),
        residual=torch.randn(intervals, steps, *config.residual_shape),
        context=torch.randn(intervals, *config.context_shape),
        step_mask=torch.ones(intervals, steps, dtype=torch.bool),
    )


def measure_published(name: str, *, encoder: str, steps: int, tokens: int, rounds: int) -> Cost:
    """A host in its published size with the report's adapter."""
    size = PUBLISHED[name]
    network = size.build()
    width = int(size.text["hidden_size"])
    config = AdapterConfig.paper(width, encoder=encoder, tokens_per_interval=tokens)
    adapter = MotionAdapter(config).eval()
    streams = random_streams(config, intervals=1, steps=steps)
    decoder = cast(Any, network).get_decoder()
    image, motion = torch.randn(1, size.tokens, width), torch.randn(1, tokens, width)
    best = best_of(
        {
            "tower": lambda: size.see(network),
            "image": lambda: decoder(inputs_embeds=image, use_cache=True),
            "adapter": lambda: adapter(streams),
            "motion": lambda: decoder(inputs_embeds=motion, use_cache=True),
        },
        rounds,
    )
    return Cost(
        name,
        steps,
        tokens,
        size.tokens,
        best["tower"],
        best["image"] * size.share,
        best["adapter"],
        best["motion"] * size.share,
    )


def measure_nano(*, steps: int | None, rounds: int) -> Cost:
    """The default host with the packaged checkpoint, LoRA merged."""
    model = HimmelForConditionalGeneration.from_pretrained(default_checkpoint())
    model.merge_lora()
    config, count = model.config, NANO_AT_ONCE
    chosen = steps or config.steps_per_interval
    streams = random_streams(config.adapter, intervals=count, steps=chosen)
    decoder, width = cast(Any, model.network).get_decoder(), model.host.hidden_size
    pixels = {"pixel_values": torch.randn(count, 3, 224, 224)}
    per_anchor = model.host.tokens_per_anchor(640, 360)
    image = torch.randn(1, count * per_anchor, width)
    motion = torch.randn(1, count * config.motion_tokens, width)
    best = best_of(
        {
            "tower": lambda: model.host.image_features(model.network, pixels),
            "image": lambda: decoder(inputs_embeds=image, use_cache=True),
            "adapter": lambda: model.adapter(streams),
            "motion": lambda: decoder(inputs_embeds=motion, use_cache=True),
        },
        rounds,
    )
    tower, seen, adapted, told = (best[name] / count for name in ("tower", "image", "adapter", "motion"))
    return Cost(NANO, chosen, config.motion_tokens, per_anchor, tower, seen, adapted, told)


def main() -> None:
    """Print one row per host."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", action="append", choices=(NANO, *PUBLISHED), help="repeatable; default: all")
    parser.add_argument("--encoder", choices=ENCODERS, default="ssm", help="of the report's adapter")
    parser.add_argument("--steps", type=int, help="of an interval; default: 16, nano 8")
    parser.add_argument("--tokens", type=int, default=64, help="motion tokens of an interval; nano's are fixed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    costs = []
    for name in options.host or (NANO, *PUBLISHED):
        print(f"{name} ...", file=sys.stderr)
        if name == NANO:
            costs.append(measure_nano(steps=options.steps, rounds=options.rounds))
        else:
            chosen = {"encoder": options.encoder, "steps": options.steps or 16, "tokens": options.tokens}
            costs.append(measure_published(name, **chosen, rounds=options.rounds))
    if options.json:
        ratios = [{"adapter_to_anchor": c.adapter_to_anchor, "interval_to_anchor": c.interval_to_anchor} for c in costs]
        rows = [{**asdict(cost), **ratio} for cost, ratio in zip(costs, ratios, strict=True)]
        where = {"machine": platform.machine(), "torch": torch.__version__, "encoder": options.encoder}
        print(json.dumps({**where, "rounds": options.rounds, "hosts": rows}, indent=1))
        return
    print("ms of processor time      anchor: tower + prefill (tokens)   interval: adapter + prefill (tokens, steps)")
    for cost in costs:
        tower, seen = 1000 * cost.tower, 1000 * cost.image_prefill
        adapted, told = 1000 * cost.adapter, 1000 * cost.motion_prefill
        print(
            f"{cost.host:20} {tower:14,.0f} + {seen:8,.0f} ({cost.image_tokens:3})      "
            f"{adapted:10,.1f} + {told:8,.0f} ({cost.motion_tokens:3}, {cost.steps:3})      "
            f"adapter / anchor {cost.adapter_to_anchor:.3f}, interval / anchor {cost.interval_to_anchor:.3f}"
        )


if __name__ == "__main__":
    main()
