"""Recipes: one YAML file states one training run completely (report, appendix C: the hyperparameter table)."""

import difflib
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from himmel.errors import RecipeError

Positive = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(_Section):
    """Which rendered clips are trained on: the seeds `first_seed` .. `first_seed + clips - 1`.

    `blind_share` of stage 2's batches leave the anchors' pictures out and ask about motion alone: they are shorter, and
    teach the language model to look at motion tokens sooner.
    """

    clips: Positive = 1500
    first_seed: Annotated[int, Field(ge=0)] = 0
    questions_per_clip: Positive = 4
    blind_share: Annotated[float, Field(ge=0, le=1)] = 0.0


class ModelSection(_Section):
    """Settings of a fresh model; a run that starts from a checkpoint (`init`) takes that checkpoint's instead."""

    num_anchors: Annotated[int, Field(ge=1, le=64)] = 8
    steps_per_interval: Annotated[int, Field(ge=1, le=128)] = 8
    adapter: Literal["nano", "paper"] = "nano"
    lora_rank: Positive = 16
    lora_alpha: Positive = 32


class AlignmentSection(_Section):
    """Stage 1 (design 3.6 and 3.7).

    L = L_nce + lambda (1 - mean s_ii) + mu (the same for each branch) + probe_weight L_probe, where `probe_weight`
    weighs the supervised warm start: an interval's first tokens are drawn to the host's word embeddings of a caption of
    the rendered motion. It needs ground truth, so it exists for rendered clips only; 0 turns it off.
    """

    objective: Literal["infonce", "mse", "hybrid"] = "infonce"
    lambda_: Annotated[float, Field(ge=0, alias="lambda")] = 0.5
    mu: Annotated[float, Field(ge=0)] = 0.2
    probe_weight: Annotated[float, Field(ge=0)] = 1.0


class OptimizerSection(_Section):
    """AdamW; one learning rate for each trained part."""

    steps: Positive = 1000
    batch_size: Positive = 8
    gradient_accumulation: Positive = 1
    adapter_lr: Annotated[float, Field(ge=0)] = 3e-4
    projector_lr: Annotated[float, Field(ge=0)] = 1e-3
    lora_lr: Annotated[float, Field(ge=0)] = 5e-4
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    save_every: Positive = 100
    log_every: Positive = 10


class Recipe(_Section):
    """One training run.

    Attributes:
        name: how results and model cards call this run.
        stage: `projector` (nano's image projector, on still questions), `1` (alignment) or `2` (LoRA and adapter).
        host: name or folder of the host.
        init: checkpoint folder to start from; None starts from fresh weights.
        output: checkpoint folder that the run writes.
        seed: of every random draw in the run.
        also_train: parts of the host that go on learning in stage 2; nano's projector was made here and may.
    """

    name: str
    stage: Literal["projector", 1, 2]
    host: str = "nano"
    init: str | None = None
    output: str
    seed: int = 0
    also_train: tuple[Literal["host_projector"], ...] = ()
    data: DataSection = DataSection()
    model: ModelSection = ModelSection()
    alignment: AlignmentSection = AlignmentSection()
    optimizer: OptimizerSection = OptimizerSection()


def load_recipe(path: str | Path, *, overrides: dict[str, str] | None = None) -> Recipe:
    """Read a recipe file and apply `overrides`, dotted keys to YAML values, e.g. {"optimizer.steps": "20"}.

    Raises:
        RecipeError: no such file, not YAML, an unknown key (the nearest known one is named) or a value out of range.
    """
    file = Path(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"Cannot read recipe {str(path)!r} ({error.strerror}); name a YAML file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"Recipe {str(path)!r} is not valid YAML ({' '.join(str(error).split())}); mend it."
        ) from error
    if not isinstance(content, dict):
        raise RecipeError(f"Recipe {str(path)!r} holds {type(content).__name__}, not keys; see recipes/ for examples.")
    for key, text in (overrides or {}).items():
        _set_dotted(content, key, text)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(_explain(error, path)) from error


def _set_dotted(content: dict, key: str, text: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise RecipeError(f"Override {key!r} goes through {section!r}, which is a value and not a section.")
    try:
        content[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"Override {key}={text!r} is not a YAML value; quote it.") from error


def _known_keys(place: tuple[str | int, ...]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in place:
        annotation = section.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        section = annotation
    return [field.alias or name for name, field in section.model_fields.items()]


def _explain(error: ValidationError, path: str | Path) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"Recipe {str(path)!r}: {key} = {first['input']!r} does not fit ({first['msg']})."
    known = _known_keys(first["loc"][:-1])
    near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.0)
    return f"Recipe {str(path)!r} has the unknown key {key!r}; did you mean {near[0]!r}?"
