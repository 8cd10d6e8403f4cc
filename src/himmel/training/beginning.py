"""What a stage of training begins with: the model of its settings, with what was trained before it."""

from pathlib import Path

import torch

from himmel.hosts import Loading, load_host
from himmel.methods.models import default_checkpoint
from himmel.model import HimmelConfig, HimmelForConditionalGeneration
from himmel.model.checkpoint import agrees_in_adapter, agrees_in_lora
from himmel.model.repository import local_folder
from himmel.settings import own_settings
from himmel.training.plan import Stage
from himmel.training.recipe import Stage1Section, Stage2Section
from himmel.training.settings import make_settings


def left_out(last: Stage) -> list[str]:
    """A sentence about each part of the checkpoint to begin with that the recipe has no use for.

    Args:
        last: stage of the recipe.

    Raises:
        HostError: the checkpoint cannot be found or read.
    """
    folder = _start(last)
    if folder is None:
        return []
    earlier, config = HimmelConfig.load(folder), _config_of(last)
    found = []
    if not agrees_in_adapter(earlier, config):
        there, here = own_settings(earlier.adapter), own_settings(config.adapter)
        differing = sorted(name for name in {**there, **here} if there.get(name) != here.get(name))
        found.append(
            f"The adapter of {last.begin_with} has other settings than this recipe's, which begins with a new one; "
            f"they differ in {', '.join(differing)}"
        )
    if earlier.lora_rank and not agrees_in_lora(earlier, config) and not trains_whole(last):
        found.append(
            f"LoRA of {last.begin_with} has rank {earlier.lora_rank} and alpha {earlier.lora_alpha}, this recipe's has "
            f"{config.lora_rank} and {config.lora_alpha} and begins afresh; to go on with it, add --set "
            f"model.lora_rank={earlier.lora_rank} --set model.lora_alpha={earlier.lora_alpha}"
        )
    return found


def initial_model(stage: Stage) -> HimmelForConditionalGeneration:
    """What a stage begins with: the model of its settings, with what the stages before it have trained.

    In stage 1 the language model is not there: it has no layers, and no LoRA on them. LoRA that a stage before stage 1
    has drawn is taken up again after it. Where the whole language model is to learn, LoRA of the checkpoint to begin
    with is folded into it.
    """
    config, start = _config_of(stage), _start(stage)
    if isinstance(stage.section, Stage1Section):
        config = config.changed(lora_rank=0)
    whole = trains_whole(stage)
    if whole and start is not None and (learned := HimmelConfig.load(start)).lora_rank:
        config = config.changed(lora_rank=learned.lora_rank, lora_alpha=learned.lora_alpha, own_language_model=False)
    model = HimmelForConditionalGeneration.from_config(config, loading=_loading(stage))
    if start is not None:
        model.carry_over(start)
    if whole and config.lora_rank:
        model.merge_lora()
    for earlier in stage.before:
        if earlier is stage.after or earlier.done:
            model.carry_over(earlier.folder)
    return model


def _config_of(stage: Stage) -> HimmelConfig:
    width = load_host(stage.host).hidden_size
    return HimmelConfig.of(make_settings(stage.model, host=stage.host, host_hidden_size=width))


def _start(stage: Stage) -> Path | None:
    """The folder of the checkpoint from elsewhere that all stages begin with."""
    if stage.begin_with is None:
        return None
    return default_checkpoint() if stage.begin_with == "nano" else local_folder(stage.begin_with)


def _loading(stage: Stage) -> Loading:
    attention = None if stage.section is None else stage.compute.attn_implementation
    return Loading(dtype=_host_dtype(stage), attention=attention, vision_alone=isinstance(stage.section, Stage1Section))


def trains_whole(stage: Stage) -> bool:
    """Whether the whole language model learns, in place of LoRA on it."""
    return isinstance(stage.section, Stage2Section) and stage.section.trains == "full"


def _host_dtype(stage: Stage) -> torch.dtype | None:
    if stage.section is None:
        return None
    # What learns is kept in float32, in which small steps are not lost to rounding; DeepSpeed keeps its own copy.
    exact = stage.compute.precision == "float32" or (trains_whole(stage) and stage.compute.deepspeed is None)
    return torch.float32 if exact else torch.bfloat16
