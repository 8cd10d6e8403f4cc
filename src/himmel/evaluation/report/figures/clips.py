"""Case studies: the streams of a clip, and what the five conditions show of it (report, figures 2 and 34 to 42)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from himmel.choices import Interleaving
from himmel.errors import UsageError
from himmel.evaluation.report.figures.style import new_figure, say_missing
from himmel.methods.conditions.show import show
from himmel.methods.conditions.strips import draw_strips
from himmel.video import Video
from himmel.video.draw import draw_streams

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_clips(clips: Sequence[Path]) -> None:
    """See that the clips' figures have names of their own.

    Raises:
        UsageError: a clip is not there, or two have the same name.
    """
    for place, clip in enumerate(clips):
        if not clip.is_file():
            raise UsageError(f"There is no video {str(clip)!r}; name a file with --clip.")
        twin = next((other for other in clips[:place] if other.stem == clip.stem), None)
        if twin is not None:
            raise UsageError(
                f"The clips {str(twin)!r} and {str(clip)!r} would have the same figures; rename one of them."
            )


def draw_clips(clips: Sequence[Path], folder: Path) -> list[str]:
    """Draw two figures of each clip, as .png and .svg.

    Returns:
        the names of the figures.

    Raises:
        VideoError: a clip can't be read.
        HimmelError: the folder can't be written.
    """
    names = []
    for clip in clips:
        video = Video(clip)
        streams, strips = f"figure-02-streams-{clip.stem}", f"figure-34-strips-{clip.stem}"
        decomposition = video.decompose()
        showings = [show(video, condition) for condition in get_args(Interleaving)]
        for suffix in (".png", ".svg"):
            draw_streams(decomposition, folder / (streams + suffix))
            draw_strips(showings, folder / (strips + suffix), title=clip.name)
        names += [streams, strips]
    return names


def no_clips() -> "Figure":
    """The figure in place of the strips where no clip was named."""
    figure, axes = new_figure("Case studies: frames, motion and residuals of a clip")
    say_missing(axes, "no clip was named", "himmel report RUNS -o DIR --clip VIDEO")
    return figure
