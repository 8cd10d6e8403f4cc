"""Methods by name."""

import difflib
from dataclasses import fields
from typing import Any, Final

from himmel.errors import UsageError
from himmel.methods.adapter_methods import Anchors, Himmel, RgbDiff
from himmel.methods.cached.hermes import Hermes
from himmel.methods.cached.look_m import LookM
from himmel.methods.codec_frames import CodecFrames
from himmel.methods.conditions.method import StreamPictures
from himmel.methods.frames import Dense, Panel
from himmel.methods.motion_text import MotionText
from himmel.methods.protocol import Method
from himmel.methods.reduction.methods import REDUCTIONS

_EVERY: tuple[type[Method], ...] = (
    Himmel,
    Anchors,
    RgbDiff,
    Dense,
    Panel,
    StreamPictures,
    CodecFrames,
    MotionText,
    LookM,
    Hermes,
    *REDUCTIONS,
)
METHODS: Final[dict[str, type[Method]]] = {method.name: method for method in _EVERY}


def build(name: str, /, **options: Any) -> Method:
    """A method with some of its options set.

    Args:
        name: one of `METHODS`.
        options: by name, see the method's class.

    Raises:
        UsageError: there is no such method or option, or a value is out of its range.
    """
    found = next((method for known, method in METHODS.items() if known == name), None)
    if found is None:
        close = difflib.get_close_matches(str(name), METHODS, 1, 0)
        raise UsageError(f"There is no method {name!r}; did you mean {close[0]!r}? There are {', '.join(METHODS)}.")
    known = option_names(found)
    unknown = [option for option in options if option not in known]
    if unknown:
        raise UsageError(f"The method {name!r} has no option {unknown[0]!r}; it has {', '.join(known)}.")
    return found(**options)


def option_names(method: "type[Method] | Method") -> tuple[str, ...]:
    """Names of a method's options."""
    return tuple(option.name for option in fields(method))  # type: ignore[arg-type]


def option_values(method: Method) -> dict[str, Any]:
    """Options of a method by name, defaults included."""
    return {name: vars(method)[name] for name in option_names(method)}
