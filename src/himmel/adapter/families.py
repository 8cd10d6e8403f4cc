"""The five families of motion encoders (report, I.4): how a map becomes a hidden state, and steps become tokens."""

from torch import nn

from himmel.adapter.branches import (
    ConvContextBranch,
    ConvMapBranch,
    GridMapBranch,
    ResNetContextBranch,
    ResNetMapBranch,
    SoundBranch,
    TowerMapBranch,
)
from himmel.adapter.config import AdapterConfig
from himmel.adapter.siglip import SiglipMapBranch
from himmel.adapter.ssm import MotionSSM
from himmel.adapter.steps import SpreadSteps, StepQueries

_MAP_BRANCHES = {"resnet18": ResNetMapBranch, "shared_vit": TowerMapBranch, "none": GridMapBranch}
_OVER_TIME: dict[str, type[nn.Module]] = {
    "ssm": MotionSSM,
    "resnet18": StepQueries,
    "siglip": StepQueries,
    "shared_vit": StepQueries,
    "none": SpreadSteps,
}


def make_branches(config: AdapterConfig) -> nn.ModuleDict:
    """An encoder for each stream that `config.streams` names, in the fixed order context, motion, residual, sound."""
    branches: dict[str, nn.Module] = {}
    if "context" in config.streams:
        branches["context"] = ConvContextBranch(config) if config.branch == "conv" else ResNetContextBranch(config)
    for name, shape in ((config.motion_stream, config.motion_shape), ("residual", config.residual_shape)):
        if name in config.streams:
            branches[name] = _make_map_branch(config, name, channels=shape[0])
    if "sound" in config.streams:
        branches["sound"] = SoundBranch(config)
    return nn.ModuleDict(branches)


def make_encoder(config: AdapterConfig) -> nn.Module:
    """The module from fused states [M, F, d] and a mask [M, F] to a sequence [M, F, d] and a token set [M, K, d]."""
    return _OVER_TIME[config.encoder](config)


def _make_map_branch(config: AdapterConfig, stream: str, *, channels: int) -> nn.Module:
    if config.encoder == "siglip":
        return SiglipMapBranch(config, stream)
    if config.encoder == "ssm":
        return (ConvMapBranch if config.branch == "conv" else ResNetMapBranch)(config, channels)
    return _MAP_BRANCHES[config.encoder](config, channels)
