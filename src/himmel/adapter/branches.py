"""One encoder per stream: a map becomes one hidden state of width d (docs/method.md, equation 2).

Each ends in a layer norm: the streams' units and the host tower's features have nothing in common, and the fusion
would otherwise start with the loudest of them.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel

from himmel.adapter.config import AdapterConfig
from himmel.adapter.norms import store_statistics
from himmel.choices import SOUND_SHAPE
from himmel.errors import UsageError

# A ResNet-18 halves a map four times before the first convolution of its last stage.
_CELLS_OF_ONE = 16
_SOUND_WIDTH = 16


def _resnet18(channels: int) -> ResNetModel:
    backbone = ResNetModel(
        ResNetConfig(
            num_channels=channels,
            layer_type="basic",
            embedding_size=64,
            hidden_sizes=[64, 128, 256, 512],
            depths=[2, 2, 2, 2],
        )
    )
    store_statistics(backbone)
    return backbone


def _see(backbone: ResNetModel, maps: Tensor) -> Any:
    """What a ResNet makes of maps [n, C, S, S], computed without mixed precision on processors.

    oneDNN's bfloat16 gradient of a strided 3 x 3 convolution on 1 x 1 inputs, which maps of 16 cells or fewer come to,
    reads memory that was never written (torch 2.13, oneDNN 3.12); GPUs are left alone.

    Raises:
        UsageError: the weights themselves are in bfloat16, as DeepSpeed has them, and would get such gradients.
    """
    weight = backbone.embedder.embedder.convolution.weight
    if backbone.training and torch.is_grad_enabled() and weight.device.type == "cpu" and weight.dtype == torch.bfloat16:
        _refuse_small(maps)
    with torch.autocast("cpu", enabled=False):
        return backbone(maps)


def _refuse_small(maps: Tensor) -> None:
    height, width = maps.shape[-2:]
    if max(height, width) <= _CELLS_OF_ONE:
        raise UsageError(
            f"ResNet-18 on maps of {width} x {height} cells gets wrong gradients from bfloat16 weights on a processor;"
            " set compute.precision=float32, or choose the branch conv."
        )


class ResNetMapBranch(nn.Module):
    """ResNet-18 over a motion or residual map, pooled over the whole map."""

    def __init__(self, config: AdapterConfig, channels: int) -> None:
        super().__init__()
        self.backbone = _resnet18(channels)
        self.project = nn.Linear(512, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, maps: Tensor) -> Tensor:
        """[n, channels, S, S] -> [n, d]."""
        return self.norm(self.project(_see(self.backbone, maps).pooler_output.flatten(1)))


class ResNetContextBranch(nn.Module):
    """ResNet-18 over the small anchor picture, pooled to 2 x 2 so that its quadrants stay apart."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.backbone = _resnet18(config.context_channels)
        self.project = nn.Linear(4 * 512, width)
        self.mlp = nn.Sequential(nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, pictures: Tensor) -> Tensor:
        """[n, C, s, s] -> [n, d]."""
        features = _see(self.backbone, pictures).last_hidden_state
        return self.norm(self.mlp(self.project(F.adaptive_avg_pool2d(features, 2).flatten(1))))


class ConvMapBranch(nn.Module):
    """Few convolutions that keep positions.

    The raw map, averaged to the same grid, goes beside the features into the last linear layer, so that direction and
    place show in the hidden state from the first step of training on.
    """

    def __init__(self, config: AdapterConfig, channels: int) -> None:
        super().__init__()
        self.grid = config.conv_grid
        first, second, third = config.conv_channels
        # Strides come early: most of a branch's time goes into the layers that still see many cells.
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, first, kernel_size=5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv2d(first, second, kernel_size=3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(second, third, kernel_size=3, padding=1),
            nn.GELU(),
        )
        self.project = nn.Linear((config.conv_channels[-1] + channels) * self.grid**2, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, maps: Tensor) -> Tensor:
        """[n, channels, S, S] -> [n, d]."""
        features = F.adaptive_avg_pool2d(self.convolutions(maps), self.grid)
        raw = F.adaptive_avg_pool2d(maps, self.grid)
        return self.norm(self.project(torch.cat((features, raw), dim=1).flatten(1)))


class ConvContextBranch(nn.Module):
    """The host tower's feature map with fewer channels, positions kept."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(config.context_channels, config.context_width, kernel_size=1)
        self.project = nn.Linear(config.context_width * config.context_size**2, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """[n, C, s, s] -> [n, d]."""
        return self.norm(self.project(F.gelu(self.reduce(features)).flatten(1)))


class GridMapBranch(nn.Module):
    """The map averaged to a coarse grid and one linear layer: hardly an encoder, which is the point of it."""

    def __init__(self, config: AdapterConfig, channels: int) -> None:
        super().__init__()
        self.grid = config.conv_grid
        self.project = nn.Linear(channels * self.grid**2, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, maps: Tensor) -> Tensor:
        """[n, channels, S, S] -> [n, d]."""
        return self.norm(self.project(F.adaptive_avg_pool2d(maps, self.grid).flatten(1)))


class SoundBranch(nn.Module):
    """Two convolutions over the slots of an interval's sound, which go beside it into one linear layer."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        channels, slots = SOUND_SHAPE
        self.convolutions = nn.Sequential(
            nn.Conv1d(channels, _SOUND_WIDTH, kernel_size=5, padding=2),
            nn.GELU(),
            nn.Conv1d(_SOUND_WIDTH, _SOUND_WIDTH, kernel_size=3, padding=1),
            nn.GELU(),
        )
        self.project = nn.Linear((_SOUND_WIDTH + channels) * slots, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, sound: Tensor) -> Tensor:
        """[n, 4, 32] -> [n, d]."""
        return self.norm(self.project(torch.cat((self.convolutions(sound), sound), dim=1).flatten(1)))


class TowerMapBranch(nn.Module):
    """What the host's frozen tower made of the drawn map; a linear layer brings it to the adapter's width."""

    def __init__(self, config: AdapterConfig, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """[n, D, 1, 1] -> [n, d]."""
        # Hosts' features differ in scale by orders of magnitude.
        return self.norm(self.project(F.layer_norm(features.flatten(1), features.shape[1:2])))
