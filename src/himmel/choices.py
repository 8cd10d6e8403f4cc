"""Choices that have names, each defined once.

The library checks its arguments against them; the command line's help and completion list them; type checkers know
them. This module imports nothing, so that showing help stays fast.
"""

from typing import Literal

AnchorMode = Literal["keyframe", "exact", "scene"]
"""How anchors are placed, see `Video.decompose`."""
BackendName = Literal["bitstream", "libav", "coviar", "proxy"]
"""Where maps come from, see `himmel.video.backends`."""
Backend = Literal["auto", BackendName]
"""What may be asked for: one of them, or the first that the file and the machine allow."""
Cell = Literal[4, 8, 16, 32, 64]
"""Side of a map's cell in luma pixels."""
ResidualKind = Literal["exact", "approximate", "estimated"]
"""What a residual was computed from, see `Decomposition.residual_kind`."""
DistanceKind = Literal["exact", "estimated"]
"""How the picture that a vector leads to was found, see `Decomposition.distance_kind`."""
