"""An answer for people: what was read to give it in rows of words, and all of it as HTML."""

from html import escape
from typing import TYPE_CHECKING, Final

from himmel._html import facts, table
from himmel._text import list_seconds
from himmel.video.draw import clock

if TYPE_CHECKING:
    from himmel.methods.answer import AnchorRead, Answer, VideoRead

_ACROSS: Final = 1000


def answer_rows(answer: "Answer") -> dict[str, str]:
    """How an answer came about: names, and what is said about each."""
    video, tokens, removed = answer.video, answer.tokens, answer.removed
    steps = sum(len(interval.frames) for interval in video.intervals)
    kinds = ", ".join(f"{count} {kind}" for kind, count in tokens.items())
    rows = {
        "method": answer.method,
        "video": f"{video.path}: {video.codec}, {video.width} x {video.height}, {video.duration:.2f} s, "
        f"{video.num_frames} pictures at {video.average_rate:.2f} a second",
    }
    if video.intervals:
        rows |= {
            "backend": f"{video.backend} ({video.backend_reason}); residual {video.residual_kind}"
            + (", accumulated" if video.accumulated else ""),
            "anchors": f"{len(video.anchors)}: {', '.join(map(_show_anchor, video.anchors))}",
            "intervals": f"{len(video.intervals)} with {steps} steps, {video.num_vectors:,} motion vectors read",
        }
    else:
        rows["frames"] = f"{len(video.anchors)}: {', '.join(map(_show_anchor, video.anchors))}"
    rows["prompt"] = f"{sum(tokens.values())} tokens: {kinds}"
    if removed is not None:
        merged = f", {removed.merged} of the others merged into them" if removed.merged else ""
        rows["kept"] = f"{removed.after} of {removed.before} {removed.unit}{merged}"
    rows |= {
        "seconds": f"{list_seconds(answer.seconds)}; first token after {answer.first_token:.2f}",
        "memory": f"{answer.peak_memory / 1e6:,.0f} MB at most",
        "note": "\n".join(answer.notes),
    }
    return rows


def answer_html(answer: "Answer") -> str:
    """Question, answer and options, a strip of what was read when, and `answer_rows`, with nothing outside itself."""
    said = f"<p>{escape(answer.question)}</p><p><strong>{escape(answer.text)}</strong></p>"
    options = [(one.text, f"{one.probability:.3f}") for one in answer.choices]
    listed = table(("option", "probability"), options) if options else ""
    return said + listed + _strip(answer.video) + facts(answer_rows(answer))


def _strip(video: "VideoRead") -> str:
    """A line of time: high strokes are anchors, low ones steps of the intervals between them."""
    if not video.duration:
        return ""
    steps = [time for interval in video.intervals for time in interval.times]
    low = "".join(_stroke(time / video.duration, 30, 1) for time in steps)
    high = "".join(_stroke(anchor.time / video.duration, 8, 3) for anchor in video.anchors)
    counted = (
        f"{len(video.anchors)} anchors (high) and {len(steps)} steps (low)" if steps else f"{len(video.anchors)} frames"
    )
    says = f"{counted} that were read, from {clock(0)} to {clock(video.duration)}"
    return (
        f'<svg role="img" aria-label="{says}" viewBox="0 0 {_ACROSS} 46" preserveAspectRatio="none" '
        f'style="display:block;width:100%;max-width:720px;height:46px;color:inherit">'
        f'<line x1="0" x2="{_ACROSS}" y1="45" y2="45" stroke="currentColor" vector-effect="non-scaling-stroke"/>'
        f"{low}{high}</svg><p>{says}</p>"
    )


def _stroke(share: float, top: int, width: int) -> str:
    x = f"{_ACROSS * share:.2f}"
    colour = "#0072b2" if width > 1 else "currentColor"
    return (
        f'<line x1="{x}" x2="{x}" y1="45" y2="{top}" stroke="{colour}" stroke-width="{width}" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _show_anchor(anchor: "AnchorRead") -> str:
    marks = ["keyframe"] if anchor.keyframe else []
    marks += {"uniform": [], "start": ["start"], "coverage": ["coverage"]}.get(anchor.reason, ["new scene"])
    return f"frame {anchor.frame} at {anchor.time:.2f} s" + (f" ({', '.join(marks)})" if marks else "")
