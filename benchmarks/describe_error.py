"""How right `himmel describe` is: rendered clips with known camera and object motion, read by each backend.

    python -m benchmarks.describe_error --clips 60 -o docs/results/describe-error.json

Camera: at each picture that was read, at least 0.25 s away from where the motion changes, the difference between the
measured and the true pan, tilt, zoom and roll; the angle between the directions where the camera pans or tilts; and for
each phase whether the words say what the camera does. Objects: a hit is regions that cover half of the object's time,
lie over it, and move within 45 degrees of its direction; a region that is no object's is a false alarm. Cuts: within a
tenth of a second. The thresholds of `himmel.video.describe` were chosen on the clips of seeds 1000 to 1014.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.moving_scenes import HEIGHT, WIDTH, Clip, Scene, Thing, boxes, draw_clip, still_clip, write_clip
from himmel._files import atomic_path
from himmel._progress import track
from himmel.choices import BackendName
from himmel.video import Timeline, Video
from himmel.video.describe import CameraMotion, MovingRegion
from himmel.video.describe.words import camera_words

BACKENDS: tuple[BackendName, ...] = ("bitstream", "libav", "proxy")
_AWAY = 0.25
_CUT_ERROR = 0.1
_MOVES = 3.0


def compare(clip: Clip, timeline: Timeline) -> dict[str, list[float]]:
    """Errors and hits (1 or 0) of one clip, by name."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(float(value))

    for scene in clip.scenes:
        for phase in scene.phases:
            begin, end = phase.start / clip.rate, phase.stop / clip.rate
            _compare_camera(timeline, begin, end, phase.motion, note)
    _compare_objects(clip, timeline, note)
    told = [cut.time for cut in timeline.cuts]
    for cut in clip.cuts:
        note("cuts found", any(abs(cut - time) <= _CUT_ERROR for time in told))
    note("false cuts", sum(all(abs(cut - time) > _CUT_ERROR for cut in clip.cuts) for time in told))
    return found


def _compare_camera(timeline: Timeline, begin: float, end: float, true: CameraMotion, note: Any) -> None:
    samples = timeline.samples
    inside = (samples.times >= begin + _AWAY) & (samples.times < end - _AWAY)
    known = inside & ~np.isnan(samples.motion).any(axis=1)
    note("pictures told", known.sum() / max(inside.sum(), 1))
    wanted = np.array([true.pan, true.tilt, true.zoom, true.roll])
    for row in samples.motion[known]:
        for name, error in zip(("pan", "tilt", "zoom", "roll"), np.abs(row - wanted), strict=True):
            note(f"{name} error", error)
        way = complex(true.pan * WIDTH, true.tilt * HEIGHT) / 100
        if abs(way) / WIDTH * 100 >= _MOVES:
            measured = complex(row[0] * WIDTH, row[1] * HEIGHT) / 100
            note("direction error", abs(np.degrees(np.angle(measured / way))))
    overlaps = [min(end, one.end) - max(begin, one.start) for one in timeline.camera]
    longest = timeline.camera[int(np.argmax(overlaps))]
    same = longest.motion is not None and verbs(longest.motion) == verbs(true)
    note("camera named right", same)
    if begin > 0:
        note("change error", min(abs(begin - one.start) for one in timeline.camera))


def verbs(motion: CameraMotion) -> frozenset[str]:
    """What the words say that a camera does, without speeds."""
    return frozenset(part.split(" by ")[0] for part in camera_words(motion).replace(" and ", ", ").split(", "))


def _compare_objects(clip: Clip, timeline: Timeline, note: Any) -> None:
    taken: set[int] = set()
    for scene in clip.scenes:
        for thing, path in zip(scene.things, boxes(scene, clip.rate), strict=True):
            mine = [k for k, region in enumerate(timeline.regions) if _is_of(region, thing, path, scene, clip.rate)]
            taken.update(mine)
            start, stop = thing.start / clip.rate, thing.stop / clip.rate
            right = [k for k in mine if _angle(timeline.regions[k], thing) <= 45]
            covered = sum(
                max(0.0, min(stop, timeline.regions[k].end) - max(start, timeline.regions[k].start)) for k in right
            )
            note("objects found", covered >= 0.5 * (stop - start))
            if covered >= 0.5 * (stop - start):
                best = max(right, key=lambda k: timeline.regions[k].end - timeline.regions[k].start)
                region = timeline.regions[best]
                speed = np.hypot(region.dx * WIDTH, region.dy * HEIGHT) / 100
                note("object direction error", _angle(region, thing))
                note("object speed error", 100 * abs(speed / np.hypot(*thing.velocity) - 1))
                note("object start error", abs(min(timeline.regions[k].start for k in right) - start))
                note("object end error", abs(max(timeline.regions[k].end for k in right) - stop))
    note("false objects", len(timeline.regions) - len(taken))


def _angle(region: MovingRegion, thing: Thing) -> float:
    """Between the two directions, in degrees."""
    measured = complex(region.dx * WIDTH, region.dy * HEIGHT)
    return float(abs(np.degrees(np.angle(measured / complex(*thing.velocity)))))


def _is_of(region: MovingRegion, thing: Thing, path: NDArray[np.float64], scene: Scene, rate: int) -> bool:
    """Whether a region lies over an object, at a time at which it moves."""
    begin = scene.phases[0].start
    start, stop = max(region.start, thing.start / rate), min(region.end, thing.stop / rate)
    if stop <= start:
        return False
    for time, box in ((region.start, region.first_box), (region.end, region.last_box)):
        k = int(np.clip(round(time * rate) - begin, 0, len(path) - 1))
        left, top, right, bottom = path[k]
        across, down = min(right, box.right) - max(left, box.left), min(bottom, box.bottom) - max(top, box.top)
        if across > 0 and down > 0:
            return True
    return False


def summarise(results: Sequence[dict[str, list[float]]], minutes: float) -> dict[str, Any]:
    """Medians and 90th percentiles of errors, shares of hits, false alarms a minute."""
    joined: dict[str, list[float]] = {}
    for result in results:
        for name, values in result.items():
            joined.setdefault(name, []).extend(values)
    table: dict[str, Any] = {}
    for name, values in joined.items():
        if name.endswith("error"):
            median, high = np.percentile(values, [50, 90])
            table[name] = {"median": round(float(median), 3), "p90": round(float(high), 3), "number": len(values)}
        elif name.startswith("false"):
            table[name] = {"number": int(sum(values)), "a_minute": round(sum(values) / minutes, 2)}
        else:
            table[name] = {"per_cent": round(100 * float(np.mean(values)), 1), "number": len(values)}
    return table


def run(count: int, first: int) -> dict[str, Any]:
    """Read clips by each backend."""
    results: dict[str, list[dict[str, list[float]]]] = {name: [] for name in BACKENDS}
    by_encoding: dict[str, list[dict[str, list[float]]]] = {}
    nothing: dict[str, list[bool]] = {name: [] for name in BACKENDS}
    seconds = 0.0
    with tempfile.TemporaryDirectory(prefix="himmel-describe-") as scratch:
        for seed in track(range(first, first + count), what="Describing clips", total=count):
            clip = draw_clip(seed)
            video = Video(write_clip(clip, Path(scratch) / "clip.mp4"))
            seconds += video.duration
            for name in BACKENDS:
                result = compare(clip, video.describe(backend=name, threads=1))
                results[name].append(result)
                if name == "bitstream":
                    by_encoding.setdefault(clip.encoding, []).append(result)
        for seed in range(6):
            video = Video(write_clip(still_clip(seed), Path(scratch) / "still.mp4"))
            for name in BACKENDS:
                lines = video.describe(backend=name, threads=1).sentences()
                nothing[name].append(len(lines) == 1 and lines[0].endswith("nothing moves."))
    return {
        "clips": count,
        "first_seed": first,
        "seconds": round(seconds, 1),
        "backends": {name: summarise(results[name], seconds / 60) for name in BACKENDS},
        "still_clips_in_which_nothing_moves": {name: f"{sum(told)} of {len(told)}" for name, told in nothing.items()},
        "bitstream_by_encoding": {
            name: {key: value for key, value in summarise(part, 1.0).items() if not key.startswith("false")}
            for name, part in by_encoding.items()
        },
    }


_UNITS = {
    "pan error": "% of the width a second",
    "tilt error": "% of the height a second",
    "zoom error": "% a second",
    "roll error": "degrees a second",
    "direction error": "degrees",
    "change error": "seconds",
    "object direction error": "degrees",
    "object speed error": "% of the true speed",
    "object start error": "seconds",
    "object end error": "seconds",
}


def show(told: dict[str, Any]) -> None:
    """Print the tables in Markdown."""
    print(f"{told['clips']} clips, {told['seconds']:.0f} s; median / 90th percentile of errors\n")
    print(f"| | unit | {' | '.join(BACKENDS)} |\n| --- | --- | {' | '.join('---' for _ in BACKENDS)} |")
    for name in told["backends"]["bitstream"]:
        cells = [_cell(told["backends"][backend].get(name)) for backend in BACKENDS]
        unit = _UNITS.get(name, "number (a minute)" if name.startswith("false") else "% (of)")
        print(f"| {name} | {unit} | {' | '.join(cells)} |")
    cells = [told["still_clips_in_which_nothing_moves"][name] for name in BACKENDS]
    print(f"| still clips in which nothing moves | | {' | '.join(cells)} |")


def _cell(entry: dict[str, float] | None) -> str:
    if entry is None:
        return ""
    if "median" in entry:
        return f"{entry['median']:.2f} / {entry['p90']:.2f}"
    if "a_minute" in entry:
        return f"{entry['number']} ({entry['a_minute']})"
    return f"{entry['per_cent']:.0f} ({entry['number']})"


def main() -> None:
    """Parse options, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--show", type=int, metavar="SEED", help="print one clip's truth and its time line")
    options = parser.parse_args()
    if options.show is not None:
        with tempfile.TemporaryDirectory() as scratch:
            clip = draw_clip(options.show)
            print(json.dumps(asdict(clip), indent=1))
            print(Video(write_clip(clip, Path(scratch) / "clip.mp4")).describe().text())
        return
    told = run(options.clips, options.first)
    show(told)
    if options.output is not None:
        with atomic_path(options.output) as temporary:
            temporary.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
