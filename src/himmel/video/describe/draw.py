"""A time line as one picture: camera motion over time, what moves against the scene, and cuts."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from himmel._checks import check_picture
from himmel.video.describe.results import CameraSegment, MovingRegion, Timeline
from himmel.video.describe.words import place_of
from himmel.video.draw import INK, PALE, save_drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours for people who don't see all of them; told apart in grey by line style and marker.
_CURVES = (
    ("pan (right +)", 0, "#0072B2", "-", "o"),
    ("tilt (up +)", 1, "#D55E00", "--", "s"),
    ("zoom (in +)", 2, "#009E73", "-.", "^"),
    ("roll (clockwise +)", 3, "#CC79A7", "-", "D"),
)
_REGION, _CUT = "#56B4E9", "#000000"
_MOST_REGIONS = 24


def draw_timeline(timeline: Timeline, path: str | os.PathLike[str]) -> None:
    """Draw pan, tilt and zoom, roll, and moving regions over time; cuts are dotted lines through all of them.

    The file is what its name ends with: .png, .jpg, .jpeg, .svg or .pdf. Dots are pictures that were read, lines the
    segments of `Timeline.camera`. Of more than 24 regions those are drawn that move most of the picture.

    Raises:
        UsageError: the name ends with something else.
        HimmelError: the file can't be written.
    """
    check_picture(path)
    save_drawing(timeline_figure(timeline), path)


def timeline_figure(timeline: Timeline) -> "Figure":
    """What `draw_timeline` writes."""
    from matplotlib.figure import Figure

    regions = _most_important(timeline.regions)
    rows = max(len(regions), 1)
    heights = [2.2, 1.3, 0.3 + 0.22 * rows]
    figure = Figure(figsize=(9, sum(heights) + 1.7), dpi=130, facecolor="white")
    shift, turn, moving = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    bottom, top = 0.6 / figure.get_figheight(), 1 - 0.75 / figure.get_figheight()
    figure.subplots_adjust(left=0.09, right=0.985, bottom=bottom, top=top, hspace=0.1)
    _draw_curves(shift, timeline, _CURVES[:3], "% of the picture\na second")
    _draw_curves(turn, timeline, _CURVES[3:], "degrees\na second")
    _draw_regions(moving, timeline, regions)
    for axes in (shift, turn, moving):
        _draw_cuts(axes, timeline)
    moving.set_xlim(0, timeline.duration)
    moving.set_xlabel("seconds", fontsize=8, color=INK)
    _add_title(figure, timeline, len(regions))
    return figure


def _most_important(regions: tuple[MovingRegion, ...]) -> list[MovingRegion]:
    """At most so many regions as there is room for, in the order of their beginning."""
    ranked = sorted(regions, key=lambda one: -one.area * one.speed * (one.end - one.start))
    return sorted(ranked[:_MOST_REGIONS], key=lambda one: (one.start, one.end))


def _draw_curves(
    axes: "Axes", timeline: Timeline, curves: tuple[tuple[str, int, str, str, str], ...], unit: str
) -> None:
    samples = timeline.samples
    axes.axhline(0, color="#bbbbbb", linewidth=0.8)
    every = max(1, len(samples.times) // 400)
    for name, column, colour, style, marker in curves:
        dots: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": 2.5,
            "alpha": 0.35,
            "linestyle": "none",
        }
        axes.plot(samples.times[::every], samples.motion[::every, column], **dots)
        times, values = _stairs(timeline.camera, column)
        axes.plot(times, values, color=colour, linestyle=style, linewidth=1.6, label=name)
    for segment in timeline.camera:
        if segment.motion is None:
            axes.axvspan(segment.start, segment.end, color="#e4e4e4", hatch="///", linewidth=0)
    _limit(axes, timeline, [column for _, column, *_ in curves])
    axes.set_ylabel(unit, fontsize=8, color=INK)
    axes.legend(fontsize=7, ncols=3, loc="upper right", framealpha=0.85)
    axes.tick_params(labelsize=7, colors=INK)


def _stairs(segments: tuple[CameraSegment, ...], column: int) -> tuple[list[float], list[float]]:
    """A line through the means of segments; broken where nothing is known."""
    times: list[float] = []
    values: list[float] = []
    for segment in segments:
        motion = segment.motion
        value = np.nan if motion is None else (motion.pan, motion.tilt, motion.zoom, motion.roll)[column]
        times += [segment.start, segment.end]
        values += [value, value]
    return times, values


def _limit(axes: "Axes", timeline: Timeline, columns: list[int]) -> None:
    """Nearly all dots are inside; at rest, noise is not blown up."""
    values = timeline.samples.motion[:, columns]
    known = np.abs(values[~np.isnan(values)])
    most = max(float(np.percentile(known, 99)) if known.size else 0.0, 4.0)
    axes.set_ylim(-1.25 * most, 1.5 * most)


def _draw_regions(axes: "Axes", timeline: Timeline, regions: list[MovingRegion]) -> None:
    axes.set_ylabel("moving\nregions", fontsize=8, color=INK)
    axes.set_yticks([])
    axes.tick_params(labelsize=7, colors=INK)
    axes.set_ylim(max(len(regions), 1) - 0.4, -0.6)
    if not regions:
        axes.text(timeline.duration / 2, 0, "nothing moves against the scene", fontsize=7, color=PALE, ha="center")
    for row, region in enumerate(regions):
        length = region.end - region.start
        axes.barh(row, length, left=region.start, height=0.62, color=_REGION, edgecolor=INK, linewidth=0.5)
        first, last = place_of(region.first_box), place_of(region.last_box)
        where = first if first == last else f"{first} to {last}"
        words = f"{region.direction} {region.speed:.0f} %/s, {where}, {region.area:.1f} % of the picture"
        late = region.start > timeline.duration - region.end
        x = region.start if late else region.end
        margin = -4 if late else 4
        place: dict[str, Any] = {"xytext": (margin, 0), "textcoords": "offset points", "va": "center"}
        background = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        axes.annotate(
            words, (x, row), fontsize=6.5, color=INK, ha="right" if late else "left", bbox=background, **place
        )


def _draw_cuts(axes: "Axes", timeline: Timeline) -> None:
    for cut in timeline.cuts:
        axes.axvline(cut.time, color=_CUT, linestyle=":", linewidth=1.1)


def _add_title(figure: "Figure", timeline: Timeline, shown: int) -> None:
    height = figure.get_figheight()
    figure.text(0.09, 1 - 0.3 / height, os.path.basename(timeline.path), fontsize=11, color=INK, weight="bold")
    regions = "" if shown == len(timeline.regions) else f", {shown} of {len(timeline.regions)} moving regions"
    cuts = f", {len(timeline.cuts)} cuts (dotted)" if timeline.cuts else ", no cuts"
    about = (
        f"{timeline.codec} {timeline.width} x {timeline.height}, {timeline.duration:.1f} s, {timeline.num_read} of"
        f" {timeline.num_frames} pictures read by {timeline.backend}{cuts}{regions}"
    )
    figure.text(0.09, 1 - 0.52 / height, about, fontsize=8, color=PALE)
