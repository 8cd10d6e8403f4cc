"""HY-Himmel: a video language model that sees motion without decoding every frame.

The public names load on first use: reading a file's motion (`himmel.Video`) neither waits for torch nor needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from himmel.adapter import MotionAdapter
    from himmel.methods.answer import Answer
    from himmel.methods.ask import ask
    from himmel.methods.session import Session
    from himmel.methods.watch import Watch
    from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor
    from himmel.video import Decomposition, Video

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Decomposition",
    "HimmelConfig",
    "HimmelForConditionalGeneration",
    "HimmelProcessor",
    "MotionAdapter",
    "Session",
    "Video",
    "Watch",
    "ask",
]

_HOMES = {
    "Answer": "himmel.methods.answer",
    "Decomposition": "himmel.video",
    "HimmelConfig": "himmel.model",
    "HimmelForConditionalGeneration": "himmel.model",
    "HimmelProcessor": "himmel.model",
    "MotionAdapter": "himmel.adapter",
    "Video": "himmel.video",
    "Session": "himmel.methods.session",
    "Watch": "himmel.methods.watch",
    "ask": "himmel.methods.ask",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'himmel' has no attribute {name!r}")
    try:
        home = import_module(_HOMES[name])
    except ModuleNotFoundError as error:
        from himmel._install import missing_package

        missing = missing_package(error)
        if missing is None:
            raise
        raise missing from error
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
