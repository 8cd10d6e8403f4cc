"""What runs are called in tables and figures, and which figure of the report belongs beside one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from himmel.errors import UsageError
from himmel.evaluation.runs.record import Header
from himmel.methods.choice import build, option_values

# The report's hosts, by what the names of their folders and repositories hold.
_HOSTS: Final = {
    "Qwen2.5-VL-7B": ("qwen2.5-vl-7b",),
    "Qwen3-VL-8B": ("qwen3-vl-8b",),
    "InternVL3-8B": ("internvl3-8b",),
    "LLaVA-OV-7B": ("llava-onevision-qwen2-7b", "llava-ov-7b"),
}
BENCHMARKS: Final = {
    "video_mme": "Video-MME",
    "mvbench": "MVBench",
    "mlvu": "MLVU",
    "longvideobench": "LongVideoBench",
    "perception_test": "PerceptionTest",
    "activitynet_qa": "ActivityNet-QA",
    "mathvista": "MathVista",
    "mathvision": "MathVision",
    "ocrbench": "OCRBench",
    "realworldqa": "RealWorldQA",
    "motionbench": "MotionBench",
    "tempcompass": "TempCompass",
    "tomato": "TOMATO",
    "vinoground": "Vinoground",
}
"""Names of the benchmarks as their authors write them."""
# How many questions the report asks of each; a run with another number is another setting.
_ASKED: Final = {
    "video_mme": 2700,
    "mvbench": 4000,
    "mathvista": 1000,
    "mathvision": 3040,
    "ocrbench": 1000,
    "realworldqa": 765,
    "longvideobench": 1337,
}


@dataclass(frozen=True)
class Published:
    """A figure of the report.

    Attributes:
        table: number of the table.
        host, method, benchmark: the setting; `options` are the method's that differ from the usual ones.
        group: of questions, such as "duration: long"; None for all.
        value: per cent.
        context_k: thousands of tokens, as the report counts them.
        seconds: for one question, as the report measured it.
    """

    table: str
    host: str
    method: str
    options: Mapping[str, Any]
    benchmark: str
    group: str | None
    value: float
    context_k: float | None
    seconds: float | None


@cache
def published() -> tuple[Published, ...]:
    """All figures of the report that a run may stand beside."""
    text = (files("himmel.evaluation.report") / "published.json").read_text(encoding="utf-8")
    return tuple(Published(**entry) for entry in json.loads(text)["values"])


def host_name(host: str | None) -> str:
    """The report's name of a host, or the last part of its folder's."""
    lowered = str(host).lower().replace("_", "-")
    for name, parts in _HOSTS.items():
        if any(part in lowered for part in parts):
            return name
    return str(host).rstrip("/").rsplit("/", 1)[-1] or "?"


def benchmark_name(benchmark: str) -> str:
    """The benchmark as its authors write it; a file of questions by its own name."""
    return BENCHMARKS.get(benchmark, benchmark.rsplit("/", 1)[-1])


def method_label(method: Mapping[str, Any]) -> str:
    """A method with those of its options that are not the default, such as `dense (num_frames 64)`."""
    changed = ", ".join(f"{name} {value}" for name, value in sorted(changed_options(method).items()))
    return f"{method['name']} ({changed})" if changed else str(method["name"])


def changed_options(method: Mapping[str, Any]) -> dict[str, Any]:
    """Options that differ from the method's defaults; all of them where the method is not known here."""
    options = {name: value for name, value in method.items() if name != "name"}
    try:
        usual = option_values(build(str(method["name"])))
    except UsageError:
        return options
    return {name: value for name, value in options.items() if _plain(usual.get(name)) != _plain(value)}


def run_labels(headers: Sequence[Header]) -> list[str]:
    """A name for each run: its method, and what else tells it from the others."""
    hosts = {host_name(header.host) for header in headers}
    labels = []
    for header in headers:
        parts = [] if len(hosts) < 2 else [host_name(header.host)]
        labels.append(": ".join([*parts, method_label(header.method)]))
    repeated = {label for label in labels if labels.count(label) > 1}
    named = []
    for label, header in zip(labels, headers, strict=True):
        adapter = str(header.adapter or "").rstrip("/").rsplit("/", 1)[-1]
        settings = header.settings
        more = [adapter, *(str(settings[key]) for key in ("scoring", "listing") if key in settings)]
        named.append(f"{label} [{', '.join(filter(None, more))}]" if label in repeated else label)
    return named


def published_beside(header: Header, *, group: str | None = None) -> Published | None:
    """The report's figure of the same setting, if it has one.

    The same setting is: one of the report's hosts by its name, the same benchmark with as many questions as the report
    asked (where it says how many), the same method with the report's options, and where the method takes an adapter,
    one that reads all three streams. Whether the adapter was trained as the report's cannot be seen, so that a figure
    beside another is no claim that both should agree.
    """
    if header.benchmark in _ASKED and header.questions != _ASKED[header.benchmark]:
        return None
    changed = changed_options(header.method)
    for entry in published():
        same = (entry.host, entry.method, entry.benchmark, entry.group) == (
            host_name(header.host),
            header.method["name"],
            header.benchmark,
            group,
        )
        if same and "streams" not in entry.options and _same_options(entry.options, changed, header.method):
            return entry
    return None


def _same_options(wanted: Mapping[str, Any], changed: Mapping[str, Any], method: Mapping[str, Any]) -> bool:
    agree = all(_plain(method.get(name)) == _plain(value) for name, value in wanted.items())
    return agree and not set(changed) - set(wanted)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
