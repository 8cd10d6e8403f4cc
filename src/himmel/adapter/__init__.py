"""Dense maps become hidden states and motion tokens; this room knows tensors, neither files nor hosts."""

from himmel.adapter.adapter import MotionAdapter
from himmel.adapter.config import AdapterConfig
from himmel.adapter.fusion import CompressedStreamFusion
from himmel.adapter.gates import GateStatistics
from himmel.adapter.heads import AlignmentHead, MotionProjector
from himmel.adapter.output import AdapterOutput
from himmel.adapter.params import ComponentCount, parameter_table
from himmel.adapter.tensors import StreamInputs

__all__ = [
    "AdapterConfig",
    "AdapterOutput",
    "AlignmentHead",
    "ComponentCount",
    "CompressedStreamFusion",
    "GateStatistics",
    "MotionAdapter",
    "MotionProjector",
    "StreamInputs",
    "parameter_table",
]
