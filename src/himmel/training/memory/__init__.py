"""What training takes of each device's memory, before any weight is loaded."""

from himmel.training.memory.plan import DeviceMemory, StageMemory, plan_memory

__all__ = ["DeviceMemory", "StageMemory", "plan_memory"]
