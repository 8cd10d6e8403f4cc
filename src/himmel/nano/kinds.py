"""The kinds of questions about rendered clips; alone in a module that loads nothing, for recipes name them."""

from typing import Final, Literal, get_args

MotionKind = Literal[
    "direction", "camera", "count", "mover", "first", "order", "when", "place", "speed", "moving count", "action",
    "action count", "action order",
]  # fmt: skip
StaticKind = Literal["object", "colour", "number", "scene", "position", "state"]
Kind = MotionKind | StaticKind
MOTION_KINDS: Final[tuple[Kind, ...]] = get_args(MotionKind)
"""Answered by what happens between the anchors; the anchors alone do not tell."""
STATIC_KINDS: Final[tuple[Kind, ...]] = get_args(StaticKind)
"""Answered by the anchors; "state" by comparing them, since what changes in a clip's state stays changed."""
KINDS: Final = MOTION_KINDS + STATIC_KINDS
