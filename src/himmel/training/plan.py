"""A recipe's stages in the order in which they run; equal stages of different recipes are one, known by its settings.

The name of a stage's folder holds a hash of everything that it depends on, the stage before it included. So rows that
differ in stage 2 alone find the same stage 1, and a changed setting never meets an old checkpoint.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from himmel.settings import ModelSettings, own_settings
from himmel.training.recipe import (
    ComputeSection,
    DataSection,
    OptimizerSection,
    ProjectorSection,
    Recipe,
    Stage1Section,
    Stage2Section,
)
from himmel.training.settings import make_settings, stage_1_settings

Kind = Literal["projector", "stage1", "stage2", "start"]
_LATER: Final[dict[str, Any]] = {
    "attn_implementation": None,
    "fsdp": None,
    "times": "none",
    "shows": "video",
    "sentence_share": 0.35,
    "asked_shares": {},
    "still_share": 0.0,
    "label_share": 0.0,
}
"""Keys that came later count where they are not at their default, so that older stages are found again."""
RECORD = "stage.json"
"""Written last into a stage's folder: where it is, the stage is whole."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One thing to do for a recipe: a training run, or `start`, which writes a model as it is.

    Attributes:
        kind: what is done.
        host: name or folder of the host.
        model: the recipe's `model` section as far as this stage depends on it.
        section: how it learns; None for `start`.
        data: what it learns from; None for `start`.
        after: the stage whose checkpoint it begins with; None begins afresh.
        begin_with: a checkpoint from elsewhere that all stages begin with, see `Recipe`; None without.
        output: folder for the folders of all stages.
    """

    kind: Kind
    host: str
    model: dict[str, Any]
    section: ProjectorSection | Stage1Section | Stage2Section | None
    data: DataSection | None
    after: "Stage | None"
    output: Path
    begin_with: str | None = None

    @property
    def config(self) -> ModelSettings:
        """The model's settings, with the preset's width of the host."""
        return make_settings(self.model, host=self.host)

    @property
    def optimizer(self) -> OptimizerSection:
        """Of a stage that learns."""
        assert self.section is not None
        return self.section.optimizer

    @property
    def compute(self) -> ComputeSection:
        """Of a stage that learns."""
        section = self.section
        assert section is not None
        if isinstance(section, Stage2Section) and section.trains == "full" and section.full_compute is not None:
            return section.full_compute
        return section.compute

    @property
    def seed(self) -> int:
        """Of every random draw."""
        return 0 if self.section is None else self.section.seed

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the stage's outcome depends on, except the stage before it."""
        section = None if self.section is None else self.section.model_dump(mode="json", by_alias=True)
        if section is not None:
            # How often something is written changes nothing that is learned.
            for name in ("save_every", "log_every", "validate_every"):
                del section["optimizer"][name]
            section["compute"] = _what_computes(self.compute)
            section = _without_later(section)
            section.pop("full_compute", None)
        found = {
            "kind": self.kind,
            "host": self.host,
            "model": _without_later(own_settings(self.config)),
            "settings": section,
            "data": None if self.data is None else self.data.settings,
        }
        return found if self.begin_with is None else found | {"begin_with": self.begin_with}

    @property
    def key(self) -> str:
        """A hash of the settings of this stage and all before it."""
        content = {**self.settings, "after": None if self.after is None else self.after.key}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def before(self) -> "tuple[Stage, ...]":
        """The stages before it, the first one first."""
        return () if self.after is None else (*self.after.before, self.after)

    @property
    def folder(self) -> Path:
        """Where its checkpoint goes."""
        return self.output / f"{self.kind}-{self.key}"

    @property
    def done(self) -> bool:
        """Whether a whole checkpoint is there."""
        return (self.folder / RECORD).is_file()


def plan_stages(recipe: Recipe) -> list[Stage]:
    """What has to be there, in order, for the recipe's model; the last one's folder is its checkpoint."""
    line: list[Stage] = []
    common: dict[str, Any] = {
        "host": recipe.host,
        "output": Path(recipe.output) / Path(recipe.base).name,
        "begin_with": recipe.begin_with,
    }
    if recipe.projector is not None:
        line.append(
            Stage(
                kind="projector",
                model=recipe.base_model,
                section=recipe.projector,
                data=None,
                after=None,
                **common,
            )
        )
    if 1 in recipe.stages:
        model = stage_1_settings(recipe.model, recipe.base_model)
        line.append(_next(line, kind="stage1", model=model, section=recipe.stage1, data=recipe.data, **common))
    if 2 in recipe.stages:
        model = recipe.model
        if recipe.stage2.trains == "full":
            model = {**model, "lora_rank": 0, "own_language_model": True}
        line.append(_next(line, kind="stage2", model=model, section=recipe.stage2, data=recipe.data, **common))
    else:
        # Settings that no stage before depends on come into the checkpoint here.
        line.append(_next(line, kind="start", model=recipe.model, section=None, data=None, **common))
    return line


def _what_computes(compute: ComputeSection) -> dict[str, Any]:
    # Who reads the batches changes nothing of what is in them, nor does who watches.
    return _without_later(compute.model_dump(mode="json", exclude={"workers", "report_to"}))


def _without_later(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in _LATER or value != _LATER[name]}


def _next(line: list[Stage], **stage: Any) -> Stage:
    return Stage(after=line[-1] if line else None, **stage)
