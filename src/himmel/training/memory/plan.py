"""Memory of one device in each stage of a recipe, as it says and with one thing changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from himmel.training.memory.layers import layer_bytes
from himmel.training.memory.sizes import StageSizes, measure_stage
from himmel.training.plan import Stage, plan_stages
from himmel.training.recipe import ComputeSection, Recipe, Stage2Section
from himmel.training.sharding import settings_file

_BYTES: Final[Mapping[str, int]] = {"float32": 4, "bfloat16": 2}
# What the head keeps of a learned token, in bytes for each row of the vocabulary.
_HEAD: Final = 10
# What the backward pass of one layer takes beside what the layer keeps, in units of that: of one H100, see _TOWER.
_BACKWARD: Final = 1.8
# What the vision tower takes at once, in bytes for each patch and unit of its width, of bfloat16: of one H100 (docs/
# results/gpu/7B-training.json). Four patches make a token.
_TOWER: Final = 40
_PATCHES: Final = 4
# Of recipes/deepspeed: how many numbers are exchanged at once, and how many ZeRO-3 keeps whole at most.
_BUCKET: Final = 200_000_000
_LIVE: Final = 1_000_000_000


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes on one device.

    Attributes:
        weights: of everything that is on the device, frozen or not.
        gradients: of what learns.
        optimizer: AdamW's two moments, and with DeepSpeed the weights in float32.
        buffers: what several devices exchange gradients through, and what ZeRO-3 or FSDP brings together.
        activations: what a micro-step keeps for its backward pass, and copies of weights in bfloat16.
        workspace: what is there for a moment: in stage 1, the vision tower's; else that of one layer's backward pass.
    """

    weights: int
    gradients: int
    optimizer: int
    buffers: int
    activations: int
    workspace: int

    @property
    def total(self) -> int:
        """The most that is there at once."""
        lasting = self.weights + self.gradients + self.optimizer + self.buffers
        return lasting + self.activations + self.workspace


@dataclass(frozen=True)
class StageMemory:
    """Memory of one stage.

    Attributes:
        kind: of the stage.
        videos: of a micro-step on one device.
        tokens: of the longest prompt; 0 in stage 1, which has none.
        ways: by what is changed: `recipe` is as the recipe says.
    """

    kind: str
    videos: int
    tokens: int
    ways: dict[str, DeviceMemory]


def plan_memory(recipe: Recipe, *, devices: int = 1) -> list[StageMemory]:
    """Memory of each stage that learns.

    Args:
        recipe: resolved.
        devices: that share the work.

    Raises:
        HostError: the host is not one of the report's, and its small files can't be found.
        RecipeError: a batch can't be shared out among the devices.
    """
    return [_stage_memory(stage, recipe, devices=devices) for stage in plan_stages(recipe) if stage.section is not None]


def device_memory(sizes: StageSizes, compute: ComputeSection, *, devices: int, videos: int) -> DeviceMemory:
    """Bytes on each of some devices.

    Args:
        sizes: of the stage.
        compute: how it is computed.
        devices: that share the work.
        videos: of a micro-step of one device.
    """
    zero = _zero_stage(compute)
    host, own = _BYTES[compute.precision], 4
    if sizes.way == "full" and not zero:
        host = 4
    elif zero:
        own = host
    learned = sizes.learned_host + sizes.learned
    weights = host * (sizes.host + sizes.learned_host) + own * (sizes.own + sizes.learned) + sizes.buffers
    gradients = host * (sizes.learned_host - sizes.idle) + own * sizes.learned
    # The two moments, and a count of steps for each tensor.
    optimizer = 2 * gradients + 4 * (sizes.tensors - bool(sizes.idle))
    buffers = gradients if devices > 1 else 0
    if zero:
        buffers = 2 * host * min(_BUCKET, learned)
        # Its copies of the weights are float32, as are the moments.
        gradients, optimizer = host * learned // devices, 12 * learned // devices
    if zero == 3:
        live = min(_LIVE, weights // host)
        weights, buffers = weights // devices, buffers + host * live * (devices - 1) // devices
    if compute.fsdp is not None:
        # One layer at work, and the next one on its way; or all of them, from the forward pass to the backward pass.
        gathered = 2 * weights // max(1, sizes.layers) if compute.fsdp == "full_shard" else weights
        weights, gradients, optimizer = weights // devices, gradients // devices, optimizer // devices
        buffers = min(gathered, weights * (devices - 1))
    activations, workspace = _activations(sizes, compute, videos=videos)
    return DeviceMemory(weights, gradients, optimizer, buffers, activations, workspace)


def _activations(sizes: StageSizes, compute: ComputeSection, *, videos: int) -> tuple[int, int]:
    """What is kept, and what is there for a moment."""
    kept = videos * sizes.anchors * (sizes.interval[compute.precision] + sizes.projected * _BYTES[compute.precision])
    zero = _zero_stage(compute)
    if compute.precision == "bfloat16" and not zero:
        # Autocast keeps a copy of each weight that is float32.
        kept += 2 * (sizes.learned + (sizes.learned_host if sizes.way == "full" else 0))
    if sizes.way is None:
        patches = videos * (sizes.anchors + 1) * sizes.picture * _PATCHES
        tower = _TOWER * patches * sizes.tower_width * _BYTES[compute.precision] // 2
        # The tower has seen the pictures before the adapter runs.
        return kept, max(0, tower - kept)
    tokens = videos * sizes.prompt
    kept += videos * sizes.answer * sizes.rows * _HEAD
    layer = tokens * layer_bytes(sizes.layer, way=sizes.way, precision=compute.precision)
    backward = round(_BACKWARD * layer)
    if not compute.gradient_checkpointing:
        return kept + sizes.layers * layer, backward
    carried = 4 if sizes.way == "full" and not zero else _BYTES[compute.precision]
    # What goes into each layer is kept; one layer at a time is computed again.
    return kept + sizes.layers * tokens * sizes.layer.width * carried, layer + backward


def _zero_stage(compute: ComputeSection) -> int:
    if compute.deepspeed is None:
        return 0
    return int(json.loads(settings_file(compute.deepspeed).read_text()).get("zero_optimization", {}).get("stage", 0))


def _stage_memory(stage: Stage, recipe: Recipe, *, devices: int) -> StageMemory:
    videos = stage.optimizer.share_of(devices)
    sizes = {stage.kind: measure_stage(stage)}
    ways = {
        name: device_memory(sizes[stage.kind], compute, devices=devices, videos=videos)
        for name, compute in _changes(stage.compute, devices=devices)
    }
    if isinstance(stage.section, Stage2Section):
        other = "full" if stage.section.trains == "lora" else "lora"
        section = recipe.stage2.model_copy(update={"trains": other})
        changed = plan_stages(recipe.model_copy(update={"stage2": section}))[-1]
        found = measure_stage(changed)
        ways[f"trains {other}"] = device_memory(found, changed.compute, devices=devices, videos=videos)
    return StageMemory(stage.kind, videos, 0 if sizes[stage.kind].way is None else sizes[stage.kind].prompt, ways)


def _changes(compute: ComputeSection, *, devices: int) -> list[tuple[str, ComputeSection]]:
    """As the recipe says, and each way to compute it that differs in one thing."""
    found = [("recipe", compute)]
    for name, value in (("none", None), ("zero2", "zero2"), ("zero3", "zero3")):
        if value != compute.deepspeed or compute.fsdp is not None:
            found.append((f"deepspeed {name}", compute.model_copy(update={"deepspeed": value, "fsdp": None})))
    if devices > 1 and compute.fsdp != "full_shard":
        found.append(("fsdp", compute.model_copy(update={"deepspeed": None, "fsdp": "full_shard"})))
    on = not compute.gradient_checkpointing
    found.append((f"checkpointing {'on' if on else 'off'}", compute.model_copy(update={"gradient_checkpointing": on})))
    precision = "float32" if compute.precision == "bfloat16" else "bfloat16"
    found.append((precision, compute.model_copy(update={"precision": precision})))
    return found
