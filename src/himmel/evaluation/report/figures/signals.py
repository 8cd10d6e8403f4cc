"""Figures of the gates, of the codec's quantisers, and of what each choice of design is worth."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from himmel.evaluation.report.cells import Summarised
from himmel.evaluation.report.collect import Document
from himmel.evaluation.report.figures.style import PALE, marker, new_figure, say_missing, shorten
from himmel.evaluation.report.labels import last_part, method_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STREAMS: Final = ("motion", "residual", "context")


def gate_map(motion: Sequence[Document]) -> "Figure":
    """Mean weights of the three streams by kind of question (report, figure 32)."""
    gates = next((document.content["gates"] for document in motion if document.content.get("gates")), None)
    kinds = [] if gates is None else sorted(gates, key=lambda kind: (kind.startswith("all"), kind))
    figure, axes = new_figure("How the fusion weighs the streams", width=6, height=max(3.0, 0.32 * len(kinds) + 1.5))
    if gates is None:
        say_missing(axes, "no result holds gates", "himmel nano bench --gates -o FILE")
        return figure
    values = np.array([[gates[kind][stream] for stream in _STREAMS] for kind in kinds])
    most = 10 * np.ceil(10 * values.max())
    axes.grid(visible=False)
    picture = axes.imshow(100 * values, cmap="cividis", vmin=0, vmax=most, aspect="auto")
    axes.set_xticks(range(3), _STREAMS)
    axes.set_yticks(range(len(kinds)), [f"{kind} ({gates[kind]['questions']})" for kind in kinds])
    for row, column in np.ndindex(values.shape):
        share = 100 * values[row, column]
        # Dark cells carry light figures.
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", color="white" if share < most / 2 else "black")
    figure.colorbar(picture, ax=axes, label="mean weight, %")
    axes.set_ylabel("kind of question (questions)")
    return figure


def quantisers(rungs: Sequence[Document], runs: Sequence[Summarised]) -> "Figure":
    """Right answers on each rung of a ladder of quantisers (report, figure 30), with the quality of its pictures."""
    figure, axes = new_figure("Right answers against the quantiser")
    levels = {document.content["name"]: document.content for document in rungs}
    series: dict[str, list[tuple[int, float, float, float]]] = {}
    for one in runs:
        rung = levels.get(last_part(one.run.header.data))
        if rung is not None:
            cell = one.summary.overall
            share, low, high = cell.accuracy.share, cell.interval.low, cell.interval.high
            name = f"{one.questions}: {method_label(one.run.header.method)}"
            series.setdefault(name, []).append((rung["level"], share, low, high))
    if not series:
        say_missing(
            axes,
            "no run is of a rung's data set",
            "himmel compress DATA -o LADDER, then himmel eval BENCHMARK --data LADDER/qp-28 -o RUN for each rung, "
            "and himmel report RUNS LADDER",
        )
        return figure
    for place, (name, points) in enumerate(sorted(series.items())):
        values = np.array(sorted(points)).T
        shares = 100 * values[1:]
        errors = np.maximum(0, [shares[0] - shares[1], shares[2] - shares[0]])
        axes.errorbar(values[0], shares[0], yerr=errors, capsize=3, label=shorten(name), **marker(place))
    axes.set_xlabel("quantiser (QP or CRF)")
    axes.set_ylabel("right answers, %")
    axes.set_xticks(sorted({rung["level"] for rung in levels.values()}))
    quality = sorted((rung["level"], rung["psnr"]) for rung in levels.values() if rung["psnr"] is not None)
    if quality:
        right = axes.twinx()
        right.plot(*zip(*quality, strict=True), color=PALE, linestyle=":")
        right.set_ylabel("PSNR of the pictures, dB (dotted)", color=PALE)
        right.spines["top"].set_visible(False)
    # Below the axes: a legend inside would hide points, one at the side the second scale.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False, fontsize=8, ncols=2)
    return figure


def sensitivity(runs: Sequence[Summarised]) -> "Figure":
    """The span of right answers over the values of each option of `himmel`, and over adapters (appendix I.9)."""
    spans = sorted(_spans(runs), key=lambda span: span[2] - span[1])
    height = max(3.0, 1.4 + 0.32 * len(spans))
    figure, axes = new_figure("How much each choice changes right answers", height=height)
    if not spans:
        say_missing(
            axes,
            "no two runs of himmel differ in one option",
            "himmel eval BENCHMARK --data DIR --adapter FOLDER --option num_anchors=4 -o RUN, then with other values",
        )
        return figure
    axes.grid(visible=True, axis="x", color="#dddddd", linewidth=0.7)
    for row, (_, low, high) in enumerate(spans):
        axes.plot([100 * low, 100 * high], [row, row], color="#0072B2", marker="|", markersize=12, linewidth=3)
        axes.annotate(f"{100 * (high - low):.1f}", (100 * high, row), xytext=(8, -3), textcoords="offset points")
    axes.set_yticks(range(len(spans)), [shorten(name) for name, _, _ in spans])
    axes.set_ylim(-0.6, len(spans) - 0.4)
    axes.set_xlabel("right answers from the worst to the best value, %; beside it the difference in points")
    axes.margins(x=0.12)
    return figure


def _spans(runs: Sequence[Summarised]) -> list[tuple[str, float, float]]:
    """For each set of questions and option the lowest and highest share right among runs that differ in it alone.

    Where its values were tried beside several settings of the others, those with most values count, and of these the
    ones with the widest span.
    """
    shares: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for one in runs:
        header = one.run.header
        if header.method["name"] != "himmel":
            continue
        choices = {**header.method, "adapter": header.adapter_sha256}
        for name, value in choices.items():
            others = {other: chosen for other, chosen in choices.items() if other != name}
            setting = json.dumps([header.host, header.data, header.settings, others], sort_keys=True)
            tried = shares.setdefault((one.questions, name), {}).setdefault(setting, {})
            tried.setdefault(json.dumps(value), one.summary.overall.accuracy.share)
    found = []
    for (questions, name), settings in shares.items():
        count, low, high = max(
            ((len(tried), min(tried.values()), max(tried.values())) for tried in settings.values()),
            key=lambda span: (span[0], span[2] - span[1]),
        )
        if count > 1:
            found.append((f"{questions}: {name}", low, high))
    return found
