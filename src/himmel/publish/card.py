"""A checkpoint's model card: README.md made of its settings, its training records and its results."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from safetensors import safe_open

from himmel._files import atomic_path
from himmel._versions import versions
from himmel.errors import HostError, UsageError
from himmel.model.config import HimmelConfig
from himmel.model.repository import is_repository

CARD = "README.md"
# What the nano host's language model is published as.
_PUBLISHED_AS = {"nano": "HuggingFaceTB/SmolLM2-135M-Instruct"}
_TAGS = ["himmel", "video", "motion-vectors", "compressed-domain"]
_USE = """\
```python
import himmel

model = himmel.HimmelForConditionalGeneration.from_pretrained({name!r})
print(himmel.ask("video.mp4", "Which way does the ball move?", model=model).text)
```"""


@dataclass(frozen=True)
class _Result:
    """A benchmark's result file, as far as the card shows it; `by_kind[condition][kind]` are accuracies."""

    benchmark: str
    questions: int
    by_kind: Mapping[str, Mapping[str, Mapping[str, float]]]
    paired: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class _Run:
    """A training record: the run's name, its resolved settings, its logged losses and its versions."""

    name: str
    settings: Mapping[str, Any]
    losses: tuple[float, ...]
    versions: Mapping[str, str]


def write_card(
    folder: Path,
    *,
    results: Sequence[str | os.PathLike[str]] = (),
    name: str | None = None,
    licence: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a checkpoint's README.md.

    Args:
        folder: the checkpoint; training's records are read from its `training/`.
        results: JSON files that `himmel eval` wrote about this checkpoint.
        name: what the card calls it, a repository name for instance; None: the folder's name.
        licence: the hub's name of one, such as `apache-2.0`; None says nothing about it.
        overwrite: whether a README.md that is there may be replaced.

    Returns:
        The card's path.

    Raises:
        HostError: there is no checkpoint in `folder`, or a training record of it is damaged.
        UsageError: there is a README.md already, or a result file is not one.
    """
    target = folder / CARD
    if target.exists() and not overwrite:
        raise UsageError(f"There already is a model card, {str(target)!r}; move it, or ask to overwrite it.")
    config = HimmelConfig.load(folder)
    title = name or folder.resolve().name
    found = [_read_result(Path(path)) for path in results]
    runs = [_read_run(path) for path in sorted((folder / "training").glob("*.json"))]
    metadata = _metadata(config, title, found, licence)
    sections = [
        f"# {title}",
        _introduce(config),
        _USE.format(name=title),
        "## Files\n\n" + _table(("file", "parameters", "size"), _list_weights(folder)),
        "## Settings\n\n" + _table(("key", "value"), _settings(config)),
        *(_describe_run(run) for run in runs),
        *(_describe_result(result) for result in found),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(config, runs, found)),
        "## Versions\n\n" + _list_versions(runs),
    ]
    card = ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n")
    with atomic_path(target) as file:
        card.save(file)
    return target


def _metadata(config: HimmelConfig, title: str, results: Sequence[_Result], licence: str | None) -> ModelCardData:
    origin = config.base_host or config.host
    published = _PUBLISHED_AS.get(origin, origin)
    known = is_repository(published)
    evaluated = [
        EvalResult(
            task_type="video-text-to-text",
            dataset_type=result.benchmark,
            dataset_name=result.benchmark,
            metric_type="accuracy",
            metric_name=f"accuracy, {kind}, {condition}",
            metric_value=accuracy["share"],
            metric_args={key: accuracy[key] for key in ("correct", "total", "low", "high")},
        )
        for result in results
        for condition, kinds in result.by_kind.items()
        for kind, accuracy in kinds.items()
    ]
    data = ModelCardData(
        base_model=published if known else None,
        library_name="himmel",
        license=licence,
        pipeline_tag="video-text-to-text",
        tags=_TAGS,
        model_name=title,
        eval_results=evaluated or None,
    )
    if known:
        data["base_model_relation"] = "finetune" if config.own_language_model else "adapter"
    return data


def _introduce(config: HimmelConfig) -> str:
    host = _shown_host(config)
    what = (
        f"A video language model that sees motion without decoding every frame: `{host}` with weights of its own (in "
        "`host/`) and a motion adapter."
        if config.own_language_model
        else f"A motion adapter for `{host}`"
        + (f", with LoRA of rank {config.lora_rank}." if config.lora_rank else ", without LoRA.")
        + " The host's own weights are not included."
    )
    return (
        f"{what} A few anchor frames of a video go through the host's vision tower; what lies between them is read "
        "from the motion vectors and residuals that the file stores, and becomes "
        f"{config.motion_tokens} motion tokens an interval."
    )


def _shown_host(config: HimmelConfig) -> str:
    """The host by its published name, or a folder by its last part: the rest of a path is private."""
    origin = config.base_host or config.host
    return origin if is_repository(origin) else Path(origin).name


def _settings(config: HimmelConfig) -> list[tuple[str, str]]:
    shown = {
        "host": _shown_host(config),
        "anchors": config.num_anchors,
        "anchor mode": config.anchor_mode,
        "steps per interval": config.steps_per_interval,
        "motion tokens per interval": config.motion_tokens,
        "placement": config.placement,
        "context": config.context_source,
        "streams": ", ".join(config.adapter.streams),
        "encoder": config.adapter.encoder,
        "fusion": config.adapter.fusion,
        "LoRA": f"rank {config.lora_rank}, alpha {config.lora_alpha}" if config.lora_rank else "none",
    }
    return [(key, str(value)) for key, value in shown.items()]


def _list_weights(folder: Path) -> list[tuple[str, str, str]]:
    rows = []
    for path in sorted(folder.rglob("*.safetensors")):
        place = path.relative_to(folder)
        if place.parts[0] != "state":
            count = _count_parameters(path)
            rows.append((f"`{place.as_posix()}`", f"{count / 1e6:,.2f} M", f"{path.stat().st_size / 1e6:,.1f} MB"))
    return rows


def _count_parameters(path: Path) -> int:
    total = 0
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (it is no mapping)
            size = 1
            for length in file.get_slice(name).get_shape():
                size *= length
            total += size
    return total


def _describe_run(run: _Run) -> str:
    lines = [f"## Training: {run.name}", _table(("key", "value"), list(_flatten(run.settings)))]
    if run.losses:
        lines.append(f"Loss from {run.losses[0]:.3f} (first logged) to {run.losses[-1]:.3f} (last).")
    return "\n\n".join(lines)


def _flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _describe_result(result: _Result) -> str:
    conditions = list(result.by_kind)
    kinds = sorted({kind for rows in result.by_kind.values() for kind in rows}, key=lambda k: (k.startswith("all"), k))
    rows = []
    for kind in kinds:
        cells = [result.by_kind[condition].get(kind) for condition in conditions]
        total = next(cell["total"] for cell in cells if cell is not None)
        rows.append((kind, str(total), *(_show(cell) for cell in cells)))
    lines = [
        f"## Results: {result.benchmark}",
        f"Per cent right of {result.questions} questions, with 95 % Wilson intervals:",
        _table(("kind", "questions", *conditions), rows),
    ]
    lines += [
        f"McNemar's exact test, {name}: right only with the first {test['only_first']}, only with the second "
        f"{test['only_second']}, p = {test['p_value']:.1e}."
        for name, test in result.paired.items()
    ]
    return "\n\n".join(lines)


def _show(cell: Mapping[str, float] | None) -> str:
    if cell is None:
        return ""
    return f"{100 * cell['share']:.1f} [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"


def _limits(config: HimmelConfig, runs: Sequence[_Run], results: Sequence[_Result]) -> Iterator[str]:
    if not results:
        yield "No result was given to this card, so it does not say how good the model is."
    for result in results:
        yield f"`{result.benchmark}` is all that was measured; there are no figures for other questions or videos."
    if not runs:
        yield "There is no record of a training run with the weights."
    yield (
        f"It was made for {config.num_anchors} anchors, and up to {config.steps_per_interval} steps in each interval; "
        "other numbers work, but it was not trained on them."
    )
    yield (
        "H.264 is parsed, MPEG-1, 2 and 4 give vectors by FFmpeg, and motion of other codecs is estimated from decoded "
        "pictures; every answer says which was used."
    )
    yield "It hears no sound and reads no subtitles."


def _list_versions(runs: Sequence[_Run]) -> str:
    places = {run.name: run.versions for run in runs} | {"this card": versions()}
    return _table(
        ("where", "versions"),
        [(place, ", ".join(f"{name} {number}" for name, number in found.items())) for place, found in places.items()],
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _read_run(path: Path) -> _Run:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _Run(
            name=path.stem,
            # Under `recipe` until a recipe had stages of its own.
            settings=dict(content["stage"] if "stage" in content else content["recipe"]),
            losses=tuple(float(entry["loss"]) for entry in content["log"] if "loss" in entry),
            versions=dict(content["versions"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HostError(f"The training record {str(path)!r} cannot be read; remove it from the checkpoint.") from error


def _read_result(path: Path) -> _Result:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        result = _Result(content["benchmark"], content["questions"], content["by_kind"], content["paired"])
        # Whatever the card will ask of the numbers.
        _describe_result(result)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise UsageError(
            f"The file {str(path)!r} is not the result of a benchmark; name a file that `himmel eval` wrote."
        ) from error
    return result
