"""A page with a scrubber: the three streams at each moment that is read, and what the codec spent along time.

The page is one file that asks for nothing outside itself, so that it can be mailed, kept and opened without a network.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

import numpy as np

from himmel._checks import check_whole
from himmel._files import atomic_path
from himmel._html import data_address, facts
from himmel._progress import track
from himmel.choices import AnchorMode, Backend
from himmel.errors import UsageError
from himmel.video.draw import brief, clock, colour_wheel, residual_colours
from himmel.video.results import Decomposition
from himmel.video.video import Video
from himmel.video.view.cuts import find_cuts
from himmel.video.view.moments import Moment, Scales, compress, picture_size, read_moments, scales_of

MOST_MOMENTS: Final = 1024
"""A page with more of them would be too large for a browser."""
_ACROSS, _DOWN = 1000, 110


@dataclass(frozen=True, repr=False, eq=False)
class Page:
    """What was written.

    Attributes:
        decomposition: what the page shows.
        moments: how many.
        start, end: of the stretch, in seconds of the video.
        cuts: where new scenes begin, in seconds of the video.
    """

    decomposition: Decomposition
    moments: int
    start: float
    end: float
    cuts: tuple[float, ...]


def draw_page(
    video: Video,
    path: str | os.PathLike[str],
    *,
    start: float = 0.0,
    end: float | None = None,
    num_anchors: int = 8,
    anchor_mode: AnchorMode = "keyframe",
    steps_per_interval: int = 16,
    backend: Backend = "auto",
    threads: int | None = None,
) -> Page:
    """Write a page of HTML on which one moves through the anchors and steps of a video.

    Args:
        video: an open file.
        path: the file to write.
        start, end: the stretch, see `Video.between`.
        num_anchors, anchor_mode, steps_per_interval, backend, threads: see `Video.decompose`; at most 1,024 anchors and
            steps in all.

    Raises:
        UsageError: an argument is outside its range, or there is no such stretch.
        VideoError: the file can't be read.
        HimmelError: the page can't be written.
    """
    check_whole("num_anchors", num_anchors, 1, MOST_MOMENTS)
    if num_anchors * (1 + check_whole("steps_per_interval", steps_per_interval, 1, MOST_MOMENTS)) > MOST_MOMENTS:
        raise UsageError(
            f"{num_anchors} anchors with {steps_per_interval} steps each are more than the {MOST_MOMENTS} moments that "
            "a page can hold; ask for fewer of them."
        )
    part = video.between(start, end)
    begin = part.start - video.start
    size = picture_size(part)
    decomposition = part.decompose(
        num_anchors=num_anchors,
        anchor_mode=anchor_mode,
        steps_per_interval=steps_per_interval,
        backend=backend,
        max_anchor_pixels=size[0] * size[1],
        threads=threads,
    )
    scales = scales_of(decomposition)
    stretch = begin, begin + part.duration
    cuts = find_cuts(video, *stretch, backend=backend, threads=threads)
    count = len(decomposition.anchors) + sum(len(interval.frames) for interval in decomposition.intervals)
    reading = read_moments(part, decomposition, scales, begin=begin, threads=threads)
    moments = list(track(reading, what="Drawing", total=count))
    page = Page(decomposition, count, *stretch, cuts)
    with atomic_path(path) as temporary:
        temporary.write_text(_fill(page, moments, scales, os.path.basename(video.path)), encoding="utf-8")
    return page


def _fill(page: Page, moments: Sequence[Moment], scales: Scales, name: str) -> str:
    decomposition = page.decomposition
    template = files("himmel.video.view").joinpath("page.html").read_text(encoding="utf-8")
    shown = [_tell(moment, page) for moment in moments]
    wheel = (255 * colour_wheel(96)).round().astype(np.uint8)
    bar = (255 * residual_colours()(np.linspace(0, 1, 96))[None, :, :3]).round().astype(np.uint8)
    anchors = f"{len(decomposition.anchors)} anchors, {len(moments) - len(decomposition.anchors)} steps between them"
    return Template(template).substitute(
        title=escape(name),
        about=escape(
            f"{decomposition.codec} {decomposition.width} x {decomposition.height}, {clock(page.start)} to "
            f"{clock(page.end)}, {decomposition.num_frames} pictures"
        ),
        ratio=f"{decomposition.width} / {decomposition.height}",
        anchors=escape(anchors),
        picture=shown[0]["picture"] or "data:,",
        wheel=data_address(compress(wheel, ".png"), "image/png"),
        bar=data_address(compress(bar, ".png"), "image/png"),
        speed=brief(scales.speed),
        residual=brief(scales.residual),
        line=_line(page, moments),
        first=clock(page.start),
        last=clock(page.end),
        most=len(moments) - 1,
        bits=f"{max(moment.bits for moment in moments) / 1000:,.1f}",
        facts=facts(
            {
                "backend": f"{decomposition.backend} ({decomposition.backend_reason})",
                "residual": decomposition.residual_kind,
                "distances": decomposition.distance_kind,
                "vectors": f"{decomposition.num_vectors:,} at the steps",
                "cells": f"{decomposition.cell} x {decomposition.cell} pixels",
                "cuts": ", ".join(map(clock, page.cuts)) or "none found",
                "notes": " ".join(decomposition.notes),
            }
        ),
        # No text in it can end the element that it is in.
        moments=json.dumps(shown).replace("<", "\\u003c"),
    )


def _tell(moment: Moment, page: Page) -> dict[str, Any]:
    what = f"{'anchor' if moment.anchor else 'step'} of interval {moment.interval + 1}"
    intra = "" if math.isnan(moment.intra) else f", {100 * moment.intra:.0f} % intra"
    return {
        "x": _place(moment.time, page),
        "says": f"{clock(moment.time)}: {what}, {moment.bits / 1000:,.1f} kbit{intra}",
        "picture": None if moment.picture is None else data_address(moment.picture, "image/jpeg"),
        "motion": None if moment.motion is None else data_address(moment.motion, "image/png"),
        "residual": None if moment.residual is None else data_address(moment.residual, "image/png"),
    }


def _place(time: float, page: Page) -> float:
    """Where a time is on the line, 0 to `_ACROSS`."""
    return round(_ACROSS * (time - page.start) / (page.end - page.start), 2)


def _line(page: Page, moments: Sequence[Moment]) -> str:
    """What the codec spent along time, as SVG."""
    most = max(1, *(moment.bits for moment in moments))
    anchors = [_place(moment.time, page) for moment in moments if moment.anchor]
    drawn = []
    for number, (left, right) in enumerate(zip(anchors, [*anchors[1:], _ACROSS], strict=True)):
        kind = "odd" if number % 2 else "even"
        drawn.append(f'<rect class="{kind}" x="{left}" y="0" width="{right - left:.2f}" height="{_DOWN}"/>')
    drawn += [_upright("anchor", left, _DOWN, 0) for left in anchors]
    for moment in moments:
        # The square root, since anchors have many times the bits of steps.
        high = 0.92 * _DOWN * math.sqrt(moment.bits / most)
        drawn.append(_upright("bits", _place(moment.time, page), _DOWN, round(_DOWN - high, 1)))
    known = [moment for moment in moments if not math.isnan(moment.intra)]
    points = " ".join(f"{_place(one.time, page)},{_DOWN - 4 - 0.9 * _DOWN * one.intra:.1f}" for one in known)
    drawn.append(f'<polyline class="intra" points="{points}"/>')
    drawn += [_upright("cut", _place(cut, page), _DOWN, 0) for cut in page.cuts]
    drawn.append(f'<line id="head" x1="0" x2="0" y1="0" y2="{_DOWN}"/>')
    says = (
        f"Time line from {clock(page.start)} to {clock(page.end)} with {len(anchors)} anchors, {len(page.cuts)} cuts "
        f"and the bits of each picture, {most / 1000:,.1f} kbit at most"
    )
    return (
        f'<svg id="line" role="img" aria-label="{says}" viewBox="0 0 {_ACROSS} {_DOWN}" preserveAspectRatio="none">'
        f"{''.join(drawn)}</svg>"
    )


def _upright(kind: str, x: float, bottom: float, top: float) -> str:
    return f'<line class="{kind}" x1="{x}" x2="{x}" y1="{bottom}" y2="{top}"/>'
