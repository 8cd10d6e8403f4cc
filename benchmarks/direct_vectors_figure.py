"""The figure of `direct_vectors`: errors, density, steps and cost of each way, and where it is wrong in one picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from himmel._files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {
    "bitstream": "bitstream (direct)",
    "libav": "libav (direct)",
    "coviar": "MPEG-4 as CoViAR",
    "mpeg4-best": "MPEG-4 at its best",
    "proxy": "optical flow",
}
# Okabe and Ito's colours, from dark to light so that they differ in grey; with shapes for those who see neither.
_COLOURS = {
    "bitstream": "#000000",
    "libav": "#0072b2",
    "coviar": "#d55e00",
    "mpeg4-best": "#e69f00",
    "proxy": "#bbbbbb",
}
_SHAPES = {"bitstream": "o", "libav": "s", "coviar": "^", "mpeg4-best": "v", "proxy": "D"}
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_HATCHES = ("", "////", "....")
_METADATA: dict[str, dict[str, Any]] = {".png": {}, ".svg": {"Date": None}}


def draw(found: dict[str, Any], name: Path) -> None:
    """Write the figure as `name`.png and `name`.svg.

    Raises:
        HimmelError: the files cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {"svg.hashsalt": "himmel", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}
    with rc_context(style | {"axes.spines.right": False}):
        figure = Figure(figsize=(11, 8.8), dpi=130, layout="constrained")
        top, middle, bottom = figure.subfigures(3, 1, height_ratios=(1.25, 1, 0.8))
        errors, edges = top.subplots(1, 2, width_ratios=(1.6, 1))
        _dots(errors, found["rows"], "field_error", "Error of the motion field, all pixels")
        _dots(edges, found["rows"], "edge_error", "... within 8 pixels of an object's edge")
        top.legend(*errors.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
        density, steps, cost = middle.subplots(1, 3)
        _bars(density, found["rows"], "vectors", "Vectors per 16 x 16 block")
        _steps(steps, found["rows"])
        _bars(cost, found["rows"], "cost", "Processor ms per s of video")
        _maps(bottom, found)
        for suffix, metadata in _METADATA.items():
            with atomic_path(name.with_name(name.name + suffix)) as temporary:
                figure.savefig(temporary, metadata=metadata)


def _ways(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["way"] for row in rows))


def _dots(axes: "Axes", rows: list[dict[str, Any]], figure: str, title: str) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    scenes = list(dict.fromkeys(row["scene"] for row in rows if row[figure] is not None))
    ways = _ways(rows)
    for k, way in enumerate(ways):
        found = {row["scene"]: row[figure] for row in rows if row["way"] == way and row["scene"] in scenes}
        places = [scenes.index(scene) + 0.14 * (k - (len(ways) - 1) / 2) for scene in found]
        axes.plot(
            list(found.values()),
            places,
            _SHAPES[way],
            color=_COLOURS[way],
            label=NAMES[way],
            markersize=6,
            mec="#222222",
            mew=0.6,
        )
    rest = {row["scene"]: row["rest_error"] for row in rows}
    if figure == "field_error":
        for k, scene in enumerate(scenes):
            axes.plot(
                [rest[scene]] * 2, [k - 0.38, k + 0.38], "--", color="#777777", label=_once(k, "all taken as at rest")
            )
    if figure == "field_error":
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(_TICKS))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, 1.1 * max(row[figure] for row in rows if row["scene"] in scenes))
    axes.set_yticks(range(len(scenes)), scenes)
    axes.set_ylim(len(scenes) - 0.5, -0.5)
    axes.set_xlabel("pixels per picture")
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", which="both", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _once(k: int, label: str) -> str | None:
    return label if k == 0 else None


def _bars(axes: "Axes", rows: list[dict[str, Any]], figure: str, title: str) -> None:
    """Mean over the scenes, and their range as a line."""
    ways = [way for way in _ways(rows) if any(row[figure] is not None for row in rows if row["way"] == way)]
    for k, way in enumerate(ways):
        values = [row[figure] for row in rows if row["way"] == way]
        mean = float(np.mean(values))
        axes.barh(k, mean, color=_COLOURS[way], edgecolor="#222222", height=0.65)
        axes.plot([min(values), max(values)], [k, k], color="#777777", linewidth=2)
        axes.annotate(
            f"{mean:.3g}", (max(values), k), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_yticks(range(len(ways)), [NAMES[way] for way in ways])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel("mean; line: range over scenes")


def _steps(axes: "Axes", rows: list[dict[str, Any]]) -> None:
    ways = [way for way in _ways(rows) if any(row["steps"] for row in rows if row["way"] == way)]
    shades = ("#ffffff", "#aaaaaa", "#444444")
    for k, way in enumerate(ways):
        left = 0.0
        shares = [row["steps"] for row in rows if row["way"] == way]
        for kind, shade, hatch in zip(shares[0], shades, _HATCHES, strict=True):
            share = 100 * float(np.mean([one[kind] for one in shares]))
            label = _once(k, f"{kind} pixels")
            axes.barh(k, share, left=left, color=shade, hatch=hatch, edgecolor="#222222", height=0.65, label=label)
            left += share
    axes.set_yticks(range(len(ways)), [NAMES[way] for way in ways])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the vectors' components")
    axes.set_title("Precision of the vectors", fontsize=10, loc="left")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=3, frameon=False)


def _maps(place: Any, found: dict[str, Any]) -> None:
    maps = found["maps"]["errors"]
    if not maps:
        return
    axes = place.subplots(1, len(maps))
    shown = None
    for one, (way, errors) in zip(np.ravel(axes), maps.items(), strict=True):
        shown = one.imshow(errors, cmap="cividis", vmin=0, vmax=2, interpolation="nearest")
        one.set_title(NAMES[way], fontsize=9)
        one.set_xticks([])
        one.set_yticks([])
    place.colorbar(shown, ax=axes, shrink=0.8, label="error, pixels per picture", extend="max")
    place.suptitle(f"Where it is wrong: picture {found['maps']['picture']} of '{found['maps']['scene']}'", fontsize=10)
