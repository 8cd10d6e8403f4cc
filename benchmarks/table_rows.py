"""Which rows `benchmarks.tables` trains: for each table of the report its rows, as recipes and what they change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from himmel.choices import Condition


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: as the table calls it.
        recipe: a shipped recipe.
        overrides: what it changes, dotted keys to YAML.
        condition: under which of `himmel nano bench`'s conditions it is asked.
        decides: whether the table's claim rests on it, so that it is trained with several seeds.
        key: of its files; the same row in two tables is trained once.
    """

    name: str
    recipe: str = "default"
    overrides: Mapping[str, str] = field(default_factory=dict)
    condition: Condition = "motion"
    decides: bool = False

    @property
    def key(self) -> str:
        """Recipe and changes, in a file's name."""
        changes = ",".join(f"{name}={value}" for name, value in self.overrides.items())
        kept = (one if one.isalnum() or one in "=,.-_" else "-" for one in f"{self.recipe},{changes}".rstrip(","))
        return "".join(kept)

    def seeds(self, most: int) -> int:
        """How many seeds it is trained with, where rows that decide get `most`."""
        return most if self.decides else 1


def _shown(what: str) -> dict[str, str]:
    """A row without an adapter: the language model learns from anchors, frames or text alone."""
    return {"stages": "[2]", "stage2.shows": what, "stage2.blind_share": "0"}


_DENSE: Final = Row(
    "dense, 32 frames",
    overrides={**_shown("anchors"), "model.num_anchors": "32", "model.anchor_mode": "exact"},
    condition="no-motion",
    decides=True,
)
_ANCHORS: Final = Row("8 anchors", overrides=_shown("anchors"), condition="no-motion")
_FULL: Final = Row("full", decides=True)
# For a run with fewer clips and steps: whether a row fell short for want of alignment. Stage 2 has as many samples.
_MORE_ALIGNING: Final = {"data.clips": "1200", "stage1.optimizer.steps": "1200"}
_LONGER: Final = Row("full, 1,200 steps", overrides=_MORE_ALIGNING, decides=True)
_LONGER_WITHOUT_CONTEXT: Final = Row(
    "+ motion + residual, 1,200 steps", "tables/01-main/motion-residual", _MORE_ALIGNING, decides=True
)

TABLES: Final[dict[str, tuple[Row, ...]]] = {
    "1": (
        _DENSE,
        _FULL,
        _LONGER,
        _ANCHORS,
        Row("text alone", overrides=_shown("nothing"), condition="text"),
        Row("+ motion", "tables/01-main/motion"),
        Row("+ residual", "tables/01-main/residual"),
        Row("+ motion + residual", "tables/01-main/motion-residual"),
        _LONGER_WITHOUT_CONTEXT,
        Row("+ RGB difference", "tables/01-main/rgb-diff"),
    ),
    # What the report's goal and its claim about the context stream rest on, for a run with several seeds.
    "seeds": (_DENSE, _LONGER, _LONGER_WITHOUT_CONTEXT),
    "19": (
        _FULL,
        Row("no stage 1", overrides={"stages": "[2]"}),
        Row("no captions", overrides={"stage1.alignment.probe_weight": "0"}),
        Row("stage 1 alone", "tables/19-alignment/stage1-only"),
    ),
    "26": (
        _FULL,
        Row("mean squared error", "tables/26-objective/mse"),
        Row("hybrid", "tables/26-objective/hybrid"),
        Row("InfoNCE, no captions", overrides={"stage1.alignment.probe_weight": "0"}),
        Row("mean squared error, no captions", "tables/26-objective/mse", {"stage1.alignment.probe_weight": "0"}),
    ),
    "18": (
        _FULL,
        Row("concatenation", "tables/18-fusion/concat"),
        Row("concatenation and MLP", "tables/18-fusion/concat-mlp"),
        Row("weighted sum", "tables/18-fusion/weighted-sum"),
    ),
    "12": (
        _DENSE,
        Row("4 anchors", overrides={"model.num_anchors": "4"}),
        _FULL,
        Row("16 anchors", overrides={"model.num_anchors": "16"}),
    ),
    "13": (
        _FULL,
        Row("4 tokens", overrides={"model.tokens_per_interval": "4"}),
        Row("1 token", overrides={"model.tokens_per_interval": "1"}),
    ),
    "14": (
        _FULL,
        Row("no encoder", "tables/14-encoders/none"),
        Row("the tower of the host", "tables/14-encoders/shared-vit"),
        Row("ResNet-18", "tables/14-encoders/resnet18"),
    ),
    "16": (
        _FULL,
        Row("whole language model", overrides={"stage2.trains": "full"}),
    ),
    "placement": (
        _FULL,
        Row("before everything", "tables/placement/prefix"),
        Row("after everything", "tables/placement/suffix"),
    ),
}
"""By the report's number; the first row of each is what the others are held against."""
