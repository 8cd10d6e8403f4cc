"""Parameters that several processes share: ZeRO of DeepSpeed, and FSDP of PyTorch by way of accelerate."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
from accelerate import DistributedType, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel
from transformers.integrations.deepspeed import is_deepspeed_available, unset_hf_deepspeed_config

from himmel.errors import RecipeError
from himmel.training.recipe import ComputeSection
from himmel.training.resolve import recipes_folder

# What accelerate and transformers leave behind, by which a later stage without sharding would be sharded as well.
_LEFT_BEHIND: Final = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "FSDP_CPU_RAM_EFFICIENT_LOADING")


def sharding_options(compute: ComputeSection, network: PreTrainedModel) -> dict[str, Any]:
    """The arguments of transformers' trainer that say how parameters are shared.

    Args:
        compute: of a stage.
        network: the host's; with FSDP, each of its layers is gathered when it is its turn.

    Raises:
        RecipeError: as `check_sharding`.
    """
    check_sharding(compute)
    if compute.deepspeed is not None:
        return {"deepspeed": str(settings_file(compute.deepspeed))}
    if compute.fsdp is None:
        return {}
    present = {type(module).__name__ for module in network.modules()}
    layers = sorted(present & set(network._no_split_modules or ()))
    config: dict[str, Any] = {"version": 2, "reshard_after_forward": compute.fsdp == "full_shard"}
    return {"fsdp": True, "fsdp_config": config | ({"transformer_layer_cls_to_wrap": layers} if layers else {})}


def check_sharding(compute: ComputeSection) -> None:
    """See that a stage can be shared as it says, before anything is loaded.

    Raises:
        RecipeError: both ways are asked for, DeepSpeed or its file is missing, no launcher has started this process, or
            FSDP has one process.
    """
    if compute.deepspeed is not None and compute.fsdp is not None:
        raise RecipeError(
            f"compute.deepspeed = {compute.deepspeed!r} and compute.fsdp = {compute.fsdp!r} exclude each other; "
            "set one of them to null."
        )
    if compute.deepspeed is not None:
        _check_deepspeed(compute.deepspeed)
    if compute.fsdp is not None and int(os.environ.get("WORLD_SIZE", "1")) < 2:
        raise RecipeError(
            f"compute.fsdp = {compute.fsdp!r} shares a model among several processes, and one was started; run "
            "`torchrun --nproc-per-node 2 --no-python himmel train RECIPE`, or set compute.fsdp=null."
        )


def settings_file(name: str) -> Path:
    """DeepSpeed's settings: a file, or one of those that come with the recipes (`zero2`, `zero3`).

    Raises:
        RecipeError: there is no such file.
    """
    shipped = recipes_folder() / "deepspeed" / f"{name}.json"
    file = shipped if shipped.is_file() else Path(name)
    if not file.is_file():
        raise RecipeError(
            f"compute.deepspeed = {name!r} is not a file; choose zero2, zero3 or a file of DeepSpeed settings."
        )
    return file


def _check_deepspeed(name: str) -> None:
    """See that DeepSpeed can be had.

    Raises:
        RecipeError: its file is missing, it is not installed, or no launcher has started this process.
    """
    settings_file(name)
    if not is_deepspeed_available():
        raise RecipeError(
            f"compute.deepspeed = {name!r} needs DeepSpeed, which is not installed; run "
            "`pip install deepspeed`, or set compute.deepspeed=null to train without it."
        )
    if "WORLD_SIZE" not in os.environ and importlib.util.find_spec("mpi4py") is None:
        raise RecipeError(
            f"compute.deepspeed = {name!r} wants a launcher, for one process too; run "
            "`torchrun --nproc-per-node 1 --no-python himmel train RECIPE` with as many processes as there are "
            "GPUs, or set compute.deepspeed=null."
        )


def shard_on_processors(state: AcceleratorState, plugin_arguments: dict[str, Any]) -> None:
    """Have accelerate shard by FSDP where there is no GPU.

    It knows FSDP on GPUs alone: processes without any would train by DistributedDataParallel, without a word.
    """
    state.distributed_type = DistributedType.FSDP
    state.fsdp_plugin = FullyShardedDataParallelPlugin(**plugin_arguments)
    if state.mixed_precision != "no":
        state.fsdp_plugin.set_mixed_precision(state.mixed_precision)


def precise_sums(compute_type: torch.dtype) -> MixedPrecisionPolicy:
    """Layers compute in `compute_type`; gradients are added in float32, and losses stay as they are."""
    return MixedPrecisionPolicy(param_dtype=compute_type, reduce_dtype=torch.float32, cast_forward_inputs=False)


@torch.no_grad()
def straighten(module: nn.Module) -> None:
    """Lay each parameter out row by row, as both ways of sharding want to cut it; nano's tower has channels last."""
    for parameter in module.parameters():
        # Of an axis of length 1, `contiguous` leaves any stride, which DeepSpeed does not.
        if parameter.stride() != torch.empty(parameter.shape, device="meta").stride():
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor that FSDP spreads over processes, each of which has to ask for it; others as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def fill(tensor: torch.Tensor, value: torch.Tensor) -> None:
    """Copy a whole tensor, the same in each process, into one that may be spread over them."""
    if isinstance(tensor, DTensor):
        value = distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
    tensor.data.copy_(value)


def share_again(module: nn.Module) -> None:
    """Have FSDP spread what it has left together after a forward pass without a backward pass.

    Until then a module's parameters are copies in the type that is computed in, and not those that learn.
    """
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Within the block, parameters that DeepSpeed spreads over processes are whole in the first of them."""
    from deepspeed import zero

    with zero.GatheredParameters(list(module.parameters()), modifier_rank=0):
        yield


@contextmanager
def whole_parameters(module: nn.Module, compute: ComputeSection) -> Iterator[None]:
    """Within the block, parameters that are spread over processes are whole, in the first of them at least.

    After FSDP they stay whole, in the processor's memory: the training has to be over.
    """
    if compute.deepspeed is not None:
        with gathered(module):
            yield
        return
    if compute.fsdp is not None:
        _gather(module)
    yield


@torch.no_grad()
def _gather(module: nn.Module) -> None:
    kept: dict[nn.Parameter, nn.Parameter] = {}
    for part in module.modules():
        for name, own in list(part.named_parameters(recurse=False)):
            if not isinstance(own, DTensor):
                continue
            if own not in kept:
                # One at a time: only the first process, which saves, has to have room for all of them.
                full = own.full_tensor()
                kept[own] = nn.Parameter(full.cpu(), requires_grad=own.requires_grad) if not dist.get_rank() else own
            setattr(part, name, kept[own])


@contextmanager
def environment_restored() -> Iterator[None]:
    """Undo what accelerate and transformers note, so that a stage says for itself whether it is sharded."""
    before = {name: os.environ.get(name) for name in _LEFT_BEHIND}
    try:
        yield
    finally:
        # With ZeRO-3 noted, transformers would load the next stage's host in parts, of which each process has one.
        unset_hf_deepspeed_config()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
