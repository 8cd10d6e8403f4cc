"""How many parameters each component has, beside the report's figures (report, table 6)."""

from dataclasses import dataclass

import torch
from torch import nn

from himmel.adapter.adapter import MotionAdapter
from himmel.adapter.config import AdapterConfig

# Table 6 of the report, in parameters, for encoder="ssm" and a host of width 3584; the projector is not in it.
_REPORT = {
    "motion branch": 11.5e6,
    "residual branch": 11.5e6,
    "context branch": 14.0e6,
    "fusion": 4.8e6,
    "motion encoder": 36.2e6,
    "alignment head": 8.0e6,
    "stage 1 in total": 86.0e6,
}


@dataclass(frozen=True, kw_only=True)
class ComponentCount:
    """One row of the parameter table.

    Attributes:
        component: its name.
        parameters: how many it has.
        report: the figure of the report's table 6, also for the encoders that it does not count; None where it has
            none, or the config's sizes are not the report's.
        difference: (parameters - report) / report, or None.
    """

    component: str
    parameters: int
    report: float | None
    difference: float | None


def parameter_table(config: AdapterConfig) -> list[ComponentCount]:
    """Count an adapter's parameters without making any: the model is made on the meta device.

    The motion encoder is what works over the steps; the branches, one per stream, hold the backbones. With
    encoder="shared_vit" the backbone is the host's, frozen, and not among them. The last two rows are the total of what
    stage 1 trains, and the projector, which the report does not list.
    """
    with torch.device("meta"):
        adapter = MotionAdapter(config)
    streams = [name for name in (config.motion_stream, "residual", "context", "sound") if name in config.streams]
    counts = {f"{name} branch": _count(adapter.branches[name]) for name in streams}
    fusions = (adapter.motion_fusion, adapter.context_fusion, *([adapter.sound_fusion] if "sound" in streams else []))
    counts["fusion"] = sum(map(_count, fusions))
    counts["motion encoder"] = _count(adapter.encoder)
    counts["alignment head"] = _count(adapter.alignment_head)
    counts["stage 1 in total"] = sum(counts.values())
    counts["projector"] = _count(adapter.projector)
    figures = _REPORT if config.to_dict() == AdapterConfig.paper(encoder=config.encoder).to_dict() else {}
    return [_row(name, count, figures.get(name)) for name, count in counts.items()]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _row(component: str, parameters: int, report: float | None) -> ComponentCount:
    difference = None if report is None else (parameters - report) / report
    return ComponentCount(component=component, parameters=parameters, report=report, difference=difference)
