"""Which random streams the writer makes: one set of features for each thing to prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Features:
    """What a stream may contain; tuples are drawn from once per stream, numbers are probabilities."""

    structures: tuple[str, ...] = ("frame",)  # per picture: "frame", "field", "mbaff"
    b: float = 0.0
    poc_types: tuple[int, ...] = (0,)
    temporal: float = 0.0
    own_column: bool = False  # direct modes of a second field with the first one co-located: see WARM
    inference: tuple[int, ...] = (0, 1)
    weighted: tuple[int, ...] = (0,)
    weighted_bipred: tuple[int, ...] = (0,)
    max_frames: tuple[int, ...] = (1, 2, 3, 4)
    long_term: float = 0.0
    long_pairs: bool = (
        False  # field pairs by IDR flag and operation 6, which FFmpeg 8 loses (it forgets the first field)
    )
    mmco: float = 0.0
    mmco5: float = 0.0
    reset_b: bool = False  # B pictures that refer to one with operation 5, whose order count FFmpeg 8 does not set back
    reorder: float = 0.0
    override: float = 0.3
    gaps: float = 0.0
    slices: int = 1
    mixed_slices: float = 0.0
    residual: float = 0.0
    transform8x8: tuple[int, ...] = (0,)
    cabac: float = 0.0
    intra: float = 0.05
    pps_change: float = 0.0
    size_change: float = 0.0
    recovery: float = 0.0
    periods: tuple[int, ...] = (1, 2)
    length: tuple[int, ...] = (8, 12)


_B: dict[str, Any] = {"b": 0.8}
_LACED: dict[str, Any] = {"inference": (1,)}
_FIELD: dict[str, Any] = {"structures": ("field",), **_LACED}
_PAFF: dict[str, Any] = {"structures": ("frame", "field"), **_LACED}
_MBAFF: dict[str, Any] = {"structures": ("mbaff",), **_LACED}
_MARKING: dict[str, Any] = {"long_term": 0.4, "mmco": 0.5, "reorder": 0.4, "max_frames": (3, 4, 5)}
_WEIGHTS: dict[str, Any] = {"weighted": (1,), "weighted_bipred": (1, 2)}
# The macroblock layer is what CABAC changes: much residual, and intra macroblocks beside each other.
_CABAC: dict[str, Any] = {
    "cabac": 1.0,
    "intra": 0.1,
    "residual": 0.5,
    "transform8x8": (1,),
    "slices": 2,
    "mixed_slices": 0.3,
    **_B,
}
_MIXED = _CABAC | {"cabac": 0.6}  # by picture parameter set
_EVERY: dict[str, Any] = {
    **_B,
    **_MARKING,
    "poc_types": (0, 0, 1, 2),
    "temporal": 0.3,
    "weighted": (0, 1),
    "weighted_bipred": (0, 1, 2),
    "mmco5": 0.1,
    "gaps": 0.1,
    "slices": 3,
    "mixed_slices": 0.3,
    "residual": 0.4,
    "transform8x8": (0, 1),
    "pps_change": 0.2,
    "size_change": 0.5,
    "recovery": 0.1,
}
FEATURES: dict[str, Features] = {
    "p": Features(),
    "residual": Features(residual=0.6),
    "transform8x8": Features(residual=0.6, transform8x8=(1,), **_B),
    "poc1": Features(poc_types=(1,), **_B),
    "poc2": Features(poc_types=(2,), **_B),
    "b_spatial": Features(**_B),
    "b_temporal": Features(temporal=0.8, **_B),
    "b_weighted": Features(**_WEIGHTS, **_B),
    "p_weighted": Features(weighted=(1,)),
    "reorder": Features(reorder=0.8, max_frames=(3, 4), **_B),
    "marking": Features(**_MARKING, **_B),
    "mmco5": Features(mmco5=0.3, **_B),
    "mmco5_b": Features(mmco5=0.3, reset_b=True, temporal=0.3, **_B),
    "gaps": Features(gaps=0.4, max_frames=(2, 3, 4)),
    "gaps_b": Features(gaps=0.3, max_frames=(2, 3, 4), poc_types=(0, 1), **_B),
    "slices": Features(slices=4, mixed_slices=0.6, residual=0.3, reorder=0.3, **_B),
    "parameter_sets": Features(pps_change=0.5, size_change=0.8, periods=(3,), length=(4, 6), residual=0.3, **_B),
    "recovery": Features(recovery=0.4, **_B),
    "field_p": Features(**_FIELD),
    "field_b": Features(**_FIELD, **_B),
    "field_temporal": Features(temporal=0.8, **_FIELD, **_B),
    "field_own_column": Features(own_column=True, temporal=0.3, length=(26, 30), periods=(1,), **_FIELD, **_B),
    "field_residual": Features(residual=0.6, transform8x8=(0, 1), slices=2, **_FIELD, **_B),
    "field_poc1": Features(poc_types=(1,), **_FIELD, **_B),
    "field_poc2": Features(poc_types=(2,), **_FIELD, **_B),
    "field_weighted": Features(**_WEIGHTS, **_FIELD, **_B),
    "field_marking": Features(**_MARKING, **_FIELD, **_B),
    "field_long_pairs": Features(long_pairs=True, **_MARKING, **_FIELD, **_B),
    "field_gaps": Features(gaps=0.3, max_frames=(2, 3, 4), **_FIELD),
    "paff": Features(residual=0.2, **_PAFF, **_B),
    "paff_temporal": Features(temporal=0.8, **_PAFF, **_B),
    "paff_weighted": Features(**_WEIGHTS, **_PAFF, **_B),
    "paff_marking": Features(**_MARKING, **_PAFF, **_B),
    "mbaff": Features(residual=0.3, **_MBAFF, **_B),
    "mbaff_temporal": Features(temporal=0.8, **_MBAFF, **_B),
    "mbaff_weighted": Features(**_WEIGHTS, **_MBAFF, **_B),
    "mbaff_residual": Features(residual=0.8, transform8x8=(0, 1), slices=3, **_MBAFF, **_B),
    "paff_mbaff": Features(structures=("field", "mbaff"), temporal=0.4, **_LACED, **_B),
    "cabac_frames": Features(**(_CABAC | {"intra": 0.5})),
    "cabac_frames_temporal": Features(temporal=0.8, **_CABAC),
    "cabac_field_p": Features(**_FIELD, **(_CABAC | {"b": 0.0, "intra": 0.3})),
    "cabac_field_spatial": Features(**_FIELD, **_CABAC),
    "cabac_field_temporal": Features(temporal=0.8, **_FIELD, **_CABAC),
    "cabac_paff": Features(temporal=0.4, **_PAFF, **(_CABAC | {"intra": 0.3})),
    "cabac_mbaff": Features(**_MBAFF, **(_CABAC | {"intra": 0.3})),
    "cabac_mbaff_temporal": Features(temporal=0.8, **_MBAFF, **_CABAC),
    "cabac_or_not": Features(structures=("field", "mbaff"), temporal=0.4, **_LACED, **_MARKING, **_WEIGHTS, **_MIXED),
    "every_frame": Features(**_EVERY),
    "every_laced": Features(structures=("frame", "field"), **(_EVERY | _LACED)),
    "every_mbaff": Features(structures=("field", "mbaff"), **(_EVERY | _LACED)),
}

# What FFmpeg 8 does not decode as the standard says: for the lists alone.
NOT_FOR_FFMPEG = ("field_long_pairs", "mmco5_b")

# To know whether the co-located macroblock is a field macroblock FFmpeg 8 looks at the current macroblock's place. In a
# frame that is still being decoded this holds what its buffer held before, at first nothing: FFmpeg is right once all
# its buffers have held fields. So many frames to wait.
WARM = {"field_own_column": 12}
