"""A decomposition as one picture: what the model sees of a video."""

import io
import os
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from himmel._checks import check_picture
from himmel._files import atomic_path
from himmel.video.results import Decomposition, StepMaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[Any]

MAX_COLUMNS = 10
_METADATA: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
INK, PALE = "#222222", "#777777"


def draw_streams(decomposition: Decomposition, path: str | os.PathLike[str], *, begin: float = 0.0) -> None:
    """Draw one column per interval (at most 10, evenly chosen): its anchor, its motion, its residual.

    The file is what its name ends with: .png, .jpg, .jpeg, .svg or .pdf.

    Motion is the mean velocity over the interval's steps: hue tells the direction, strength of colour the speed, white
    is rest, grey is unknown. Residual is the mean luma RMS.

    Args:
        decomposition: of a video or a stretch of one.
        path: the file to write.
        begin: seconds at which that stretch begins in its video, so that the picture names the video's times.

    Raises:
        UsageError: the name ends with something else.
        HimmelError: the file can't be written.
    """
    check_picture(path)
    save_drawing(streams_figure(decomposition, begin=begin), path)


def save_drawing(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write a figure, whole or not at all; the same figure gives the same bytes.

    Raises:
        HimmelError: the file can't be written.
    """
    from matplotlib import rc_context

    # Without the time of writing, and with names that follow from the picture.
    with atomic_path(path) as temporary, rc_context({"svg.hashsalt": "himmel"}):
        figure.savefig(temporary, metadata=_METADATA.get(temporary.suffix.lower()))


def drawing_bytes(figure: "Figure") -> bytes:
    """A figure as PNG, to be shown inside a page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def streams_figure(decomposition: Decomposition, *, begin: float = 0.0) -> "Figure":
    """What `draw_streams` writes."""
    from matplotlib.figure import Figure

    count = len(decomposition.anchors)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_COLUMNS)).round().astype(int))
    velocities = [mean_velocity(decomposition.intervals[k].maps) for k in chosen]
    residuals = [mean_residual(decomposition.intervals[k].maps) for k in chosen]
    speed = full_scale([np.hypot(v[0], v[1])[known] for v, known in velocities], least=0.5)
    error = full_scale([r[~np.isnan(r)] for r in residuals], least=1.0)

    aspect = decomposition.height / decomposition.width
    tile = min(2.2, 2.2 / aspect)
    width, height = max(len(chosen), 3) * (tile + 0.08) + 2.2, 3 * (tile * aspect + 0.1) + 1.25
    figure = Figure(figsize=(width, height), dpi=130, facecolor="white")
    axes = figure.subplots(3, len(chosen), squeeze=False)
    figure.subplots_adjust(
        left=0.75 / width, right=1 - 1.35 / width, top=1 - 0.85 / height, bottom=0.35 / height, wspace=0.04, hspace=0.06
    )
    heat = residual_colours()
    extent = 0.0, float(decomposition.width), float(decomposition.height), 0.0
    for column, k in enumerate(chosen):
        anchor, interval = decomposition.anchors[k], decomposition.intervals[k]
        kind = "keyframe" if anchor.keyframe else "exact"
        _tile(axes[0, column], _thumbnail(anchor.image), extent)
        axes[0, column].set_title(f"{clock(begin + anchor.time)}  {kind}", fontsize=8, color=INK, pad=4)
        _tile(axes[1, column], flow_colours(*velocities[column], speed), _grid_extent(decomposition))
        _tile(axes[2, column], residuals[column], _grid_extent(decomposition), cmap=heat, vmin=0.0, vmax=error)
        for row in (1, 2):
            axes[row, column].set_xlim(extent[0], extent[1])
            axes[row, column].set_ylim(extent[2], extent[3])
        axes[2, column].set_xlabel(_steps_caption(begin + interval.times), fontsize=7, color=PALE, labelpad=3)
    for row, name in enumerate(("anchor", "motion", "residual")):
        axes[row, 0].set_ylabel(name, fontsize=9, color=INK, labelpad=6)
    _add_title(figure, decomposition, begin, len(chosen), width, height)
    _add_keys(figure, axes, speed, error, width, height)
    return figure


def mean_velocity(maps: StepMaps) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Mean over steps of the displacement per frame interval, past and future weighted by what they cover.

    Returns:
        velocity float64 [2, R, C] in luma pixels a frame; known bool [R, C].
    """
    total, weight = np.zeros(maps.past.shape[1:]), np.zeros(maps.past.shape[2:])
    sides = (
        (maps.past, maps.past_valid, maps.past_distance),
        (maps.future, maps.future_valid, maps.future_distance),
    )
    for displacement, valid, distance in sides:
        per_frame = displacement / np.maximum(distance, 1)[:, None, None, None]
        total += (per_frame * valid[:, None]).sum(axis=0)
        weight += valid.sum(axis=0)
    return total / np.where(weight > 0, weight, 1), weight > 0


def mean_residual(maps: StepMaps) -> FloatArray:
    """Mean luma RMS over steps, weighted by what is covered; NaN where nothing is. Float64 [R, C]."""
    weight = maps.covered.sum(axis=0, dtype=np.float64)
    total = (maps.residual[:, 0] * maps.covered).sum(axis=0, dtype=np.float64)
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1), np.nan)


def full_scale(values: list[FloatArray], least: float) -> float:
    """The value that gets full colour: nearly the largest, so that single outliers don't make the rest pale."""
    joined = np.concatenate([v.ravel() for v in values])
    return max(float(np.percentile(joined, 99)), least) if joined.size else least


def flow_colours(velocity: FloatArray, known: npt.NDArray[np.bool_], full: float) -> FloatArray:
    """Velocities [2, ...] as RGB [..., 3], 0 to 1."""
    from matplotlib.colors import hsv_to_rgb

    hue = (np.arctan2(velocity[1], velocity[0]) / (2 * np.pi)) % 1.0
    strength = np.clip(np.hypot(velocity[0], velocity[1]) / full, 0, 1) ** 0.7
    colours = hsv_to_rgb(np.stack((hue, strength, 1 - 0.12 * strength), axis=-1))
    return np.where(known[..., None], colours, 0.85)


def colour_wheel(side: int) -> FloatArray:
    """The key to `flow_colours`: what a motion from the middle to each place looks like; RGBA [side, side], 0 to 1."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    inside = np.hypot(x, y) <= 1
    return np.dstack((flow_colours(np.stack((x, y)), inside, 1.0), inside))


def residual_colours() -> Any:
    """Matplotlib's colour map for residuals, from black to pale yellow; grey where a value is masked or NaN."""
    from matplotlib import colormaps

    return colormaps["magma"].with_extremes(bad="#d9d9d9")


def _thumbnail(image: npt.NDArray[np.uint8]) -> FloatArray:
    shrink = min(1.0, 480 / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _grid_extent(decomposition: Decomposition) -> tuple[float, float, float, float]:
    rows, columns = decomposition.grid
    return 0.0, float(columns * decomposition.cell), float(rows * decomposition.cell), 0.0


def _tile(axes: "Axes", image: FloatArray, extent: tuple[float, float, float, float], **options: Any) -> None:
    axes.imshow(image, extent=extent, interpolation="nearest", aspect="equal", **options)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#bbbbbb")
        spine.set_linewidth(0.6)


def clock(seconds: float) -> str:
    """Minutes and seconds, such as 1:02.5."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def brief(value: float) -> str:
    """A value with a decimal place if it is below 10."""
    return f"{value:.{0 if value >= 10 else 1}f}"


def _steps_caption(times: npt.NDArray[np.float64]) -> str:
    if not len(times):
        return "no steps"
    return f"{len(times)} step{'s' if len(times) > 1 else ''}, {clock(times[0])} to {clock(times[-1])}"


def _add_title(
    figure: "Figure", decomposition: Decomposition, begin: float, shown: int, width: float, height: float
) -> None:
    left = 0.75 / width
    figure.text(left, 1 - 0.28 / height, os.path.basename(decomposition.path), fontsize=11, color=INK, weight="bold")
    stretch = f" from {clock(begin)} on" if begin else ""
    columns = "" if shown == len(decomposition.anchors) else f", {shown} of {len(decomposition.anchors)} intervals"
    about = (
        f"{decomposition.codec} {decomposition.width} x {decomposition.height},"
        f" {decomposition.duration:.1f} s{stretch},"
        f" {decomposition.num_vectors:,} vectors by {decomposition.backend},"
        f" residual {decomposition.residual_kind}{', accumulated' if decomposition.accumulated else ''}{columns}"
    )
    figure.text(left, 1 - 0.48 / height, about, fontsize=8, color=PALE)


def _add_keys(figure: "Figure", axes: Any, speed: float, error: float, width: float, height: float) -> None:
    """A colour wheel beside the motion row, a colour bar beside the residual row."""
    motion, residual = axes[1, -1].get_position(), axes[2, -1].get_position()
    side = min(0.72, motion.height * height * 0.7)
    left = motion.x1 + 0.2 / width
    middle = (motion.y0 + motion.y1) / 2
    wheel = figure.add_axes((left, middle - side / 2 / height, side / width, side / height))
    wheel.imshow(colour_wheel(161), extent=(-1, 1, 1, -1))
    wheel.set_axis_off()
    wheel.text(0, -1.25, f"{brief(speed)} px a frame", fontsize=7, color=PALE, ha="center", va="bottom")
    bar = figure.add_axes((left, residual.y0 + 0.05 / height, 0.1 / width, residual.height - 0.1 / height))
    bar.imshow(np.linspace(1, 0, 128)[:, None], extent=(0, 1, 0, error), aspect="auto", cmap=residual_colours())
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.tick_params(labelsize=7, colors=PALE, length=2)
    bar.set_title("luma RMS", fontsize=7, color=PALE, pad=3, loc="left")
