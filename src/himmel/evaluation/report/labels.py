"""What runs are called in tables and figures, and which figure of the report belongs beside one."""

import json
from collections import Counter
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
# How many questions the report asks of each: by its text, of MLVU's test split, OCRBench and RealWorldQA all there are.
# A run with another number is another setting. Of PerceptionTest and ActivityNet-QA it says neither the number nor how
# free answers are judged: nothing can stand beside those.
_ASKED: Final = {
    "video_mme": 2700,
    "mvbench": 4000,
    "mlvu": 502,
    "mathvista": 1000,
    "mathvision": 3040,
    "ocrbench": 1000,
    "realworldqa": 765,
    "longvideobench": 1337,
}
# Options that name what is shown, and are part of a label at their default value too.
_NAMED: Final = ("condition",)
# Settings that are part of a label where runs would have the same one without.
_TELLING: Final = ("scoring", "listing", "answer_form", "generate", "subtitles")

# What the report's adapter reads and gives where a table changes nothing else (section 4.1).
_STREAMS: Final = ("context", "motion", "residual")
_REPORTS_OWN: Final = {"num_anchors": 8, "tokens_per_interval": 64}


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
    return last_part(host) or "?"


def benchmark_name(benchmark: str) -> str:
    """The benchmark as its authors write it; a file of questions by its own name."""
    return BENCHMARKS.get(benchmark, last_part(benchmark))


def method_label(method: Mapping[str, Any]) -> str:
    """A method with those of its options that are not the default, such as `dense (num_frames 64)`."""
    told = changed_options(method) | {name: method[name] for name in _NAMED if name in method}
    changed = ", ".join(f"{name} {_plain_text(value)}" for name, value in sorted(told.items()))
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
    """A name for each run: its method, and what else tells it from the others on the same questions."""
    hosts = {host_name(header.host) for header in headers}
    labels = []
    for header in headers:
        parts = [] if len(hosts) < 2 else [host_name(header.host)]
        labels.append(": ".join([*parts, method_label(header.method)]))
    named = []
    for label, header in zip(labels, headers, strict=True):
        alike = [
            other
            for name, other in zip(labels, headers, strict=True)
            if name == label and other.questions_sha256 == header.questions_sha256
        ]
        telling = _telling(header, alike)
        named.append(f"{label} [{', '.join(telling)}]" if telling else label)
    return named


def _telling(header: Header, alike: Sequence[Header]) -> list[str]:
    """What tells a run from those with the same method on the same questions: adapter, folder of media, settings."""
    found = []
    if len({other.adapter for other in alike}) > 1:
        found.append(last_part(header.adapter) or "no adapter")
    if len({other.data for other in alike}) > 1:
        found.append(last_part(header.data))
    for name in _TELLING:
        if len({str(other.settings.get(name)) for other in alike}) > 1:
            found.append(f"{name} {header.settings.get(name)}")
    return found


def last_part(place: str | None) -> str:
    """The last part of a folder or repository name; empty for None."""
    return str(place or "").rstrip("/").rsplit("/", 1)[-1]


def question_sets(headers: Sequence[Header]) -> dict[tuple[str, str], str]:
    """What each set of questions is called, such as `Video-MME (2,700)`, by its benchmark and `questions_sha256`.

    In the order of `BENCHMARKS`, files of questions after those, larger sets first. Files of one name are called by
    their folders too; sets of the same size in one benchmark are told apart by the beginning of their hash.
    """
    order = [*BENCHMARKS, *sorted({header.benchmark for header in headers} - set(BENCHMARKS))]
    found = {(header.benchmark, header.questions_sha256): header.questions for header in headers}
    placed = sorted(found.items(), key=lambda one: (order.index(one[0][0]), -one[1], one[0][1]))
    folders = {(header.benchmark, header.questions_sha256): last_part(header.data) for header in headers}
    alike = Counter(benchmark for benchmark, _ in found if benchmark not in BENCHMARKS)
    named = {key: f"{folders[key]}/" if folders[key] and alike[key[0]] > 1 else "" for key in found}
    plain = {key: f"{named[key]}{benchmark_name(key[0])} ({questions:,})" for key, questions in placed}
    repeated = Counter(plain.values())
    return {key: f"{name[:-1]}, {key[1][:6]})" if repeated[name] > 1 else name for key, name in plain.items()}


def published_beside(header: Header, *, group: str | None = None) -> tuple[Published, ...]:
    """The report's figures of the same setting, from all tables that have it; none where it differs.

    The same setting is: one of the report's hosts by its name, the same benchmark with as many questions as the report
    asked, without subtitles, the same method with the report's options, and an adapter with as many anchors, tokens and
    streams. On what it was trained is not in a run, so that a figure beside another is no claim that both should agree.
    """
    if header.questions != _ASKED.get(header.benchmark) or header.settings.get("subtitles"):
        return ()
    changed = changed_options(header.method)
    setting = host_name(header.host), header.method["name"], header.benchmark, group
    return tuple(
        entry
        for entry in published()
        if (entry.host, entry.method, entry.benchmark, entry.group) == setting
        and _same_adapter(entry.options, header)
        and _same_options(entry.options, changed, header)
    )


def show_published(entries: Sequence[Published], *, costs: bool = False) -> str:
    """The values with their tables, such as `63.5 (tables 1, 5, 10); 63.52 (table 12)`; empty if there are none.

    Args:
        entries: that `published_beside` found.
        costs: add the report's tokens and seconds to each value.
    """
    tables: dict[str, list[str]] = {}
    for entry in entries:
        context = f", {entry.context_k:g} k tokens" if costs and entry.context_k is not None else ""
        seconds = f", {entry.seconds:g} s" if costs and entry.seconds is not None else ""
        tables.setdefault(f"{entry.value:g}{context}{seconds}", []).append(entry.table)
    return "; ".join(
        f"{text} (table{'s' if len(where) > 1 else ''} {', '.join(where)})" for text, where in tables.items()
    )


def _same_adapter(wanted: Mapping[str, Any], header: Header) -> bool:
    """Whether what the adapter was made for is what the report's was; runs of early versions don't say, nor others."""
    if header.trained is None or header.method["name"] != "himmel":
        return "streams" not in wanted
    if set(header.trained["streams"]) != set(wanted.get("streams", _STREAMS)):
        return False
    return all(header.setting(name) == wanted.get(name, usual) for name, usual in _REPORTS_OWN.items())


def _same_options(wanted: Mapping[str, Any], changed: Mapping[str, Any], header: Header) -> bool:
    agree = all(_plain(header.setting(name)) == _plain(value) for name, value in wanted.items() if name != "streams")
    return agree and not set(changed) - set(wanted)


def _plain_text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
