"""Joins video, adapter and host: processor, injection, placement and the model itself."""

from himmel.model.config import HimmelConfig
from himmel.model.modeling import HimmelForConditionalGeneration, HimmelOutput
from himmel.model.processor import HimmelProcessor
from himmel.model.sample import PreparedSample
from himmel.model.targets import align_targets

__all__ = [
    "HimmelConfig",
    "HimmelForConditionalGeneration",
    "HimmelOutput",
    "HimmelProcessor",
    "PreparedSample",
    "align_targets",
]
