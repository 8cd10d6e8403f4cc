"""Vectors read directly from H.264 against those that transcoding to MPEG-4 Part 2 gives, against exact motion.

    python -m benchmarks.direct_vectors [-o docs/results/direct-vectors.json] [--figure docs/results/direct-vectors]

The report (M.2) argues for direct extraction from what the two standards allow. Here it is measured. Each scene of
`known_motion` is encoded as H.264 (x264 medium, crf 23, its usual B pictures and references); that file is then read in
these ways:

    bitstream     every vector with its own reference, parsed without decoding
    libav         what FFmpeg exports while it decodes; the nearest reference is assumed
    coviar        encoded again as MPEG-4 Part 2 as CoViAR does it (groups of 12, its bits for an area), then read
    mpeg4-best    encoded again with all that MPEG-4 Part 2 has: quarter pixels, four vectors a block, quantiser 2
    proxy         no vectors: optical flow between decoded pictures

and each is held against where the pixels really went:

    vector error  mean distance between a pixel's vector and its true way to the same reference, in pixels per picture,
                  where there is a vector
    field error   the same against the true velocity, over all pixels; rest is taken where there is no vector
    edge error    field error within 8 pixels of where two layers meet
    covered       share of the area with a vector
    vectors       per block of 16 x 16 pixels
    steps         share of the vectors' components at whole, half and quarter pixels
    references    share of libav's vectors to whose block `bitstream` has the same reference
    cost          processor ms per second of video, transcoding included, the best of the rounds

Pictures at keyframes are left out; CoViAR has one of them in 12. If a pixel has two vectors, the one to the nearer
reference counts, then the one into the past.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.direct_vectors_figure import draw
from benchmarks.known_motion import HEIGHT, PICTURES, RATE, SCENES, WIDTH, Rendered, encode
from himmel._files import atomic_path
from himmel._versions import versions
from himmel.video import Video

WAYS = ("bitstream", "libav", "coviar", "mpeg4-best", "proxy")
_BLOCK = 16 * 16
_MAP_CELL = 8
_CELL = 4
_MAP_SCENE, _MAP_PICTURE = "things over a pan", 28
_Field = NDArray[np.float64]


@dataclass(frozen=True)
class Read:
    """What one way gives of one picture.

    Attributes:
        frame: which picture.
        velocity: float64 [2, H, W], pixels per picture; 0 where nothing is known.
        known: bool [H, W].
        reference: int [H, W], the picture that the vector leads to or comes from.
        steps: components [2 V] of its vectors, in pixels; none from `proxy`.
    """

    frame: int
    velocity: _Field
    known: NDArray[np.bool_]
    reference: NDArray[np.int64]
    steps: NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """Means over a scene's pictures, see the module; None where there is nothing to say."""

    scene: str
    way: str
    vector_error: float | None
    field_error: float
    edge_error: float | None
    rest_error: float
    covered: float
    vectors: float | None
    steps: dict[str, float] | None
    references: float | None
    cost: float


def read(path: Path, way: str) -> Iterator[Read]:
    """Every picture but keyframes, read in one way."""
    if way == "proxy":
        for picture in Video(path).pictures(backend="proxy", cell=_CELL):
            known = _enlarge(picture.past_valid) > 0.5
            if not picture.keyframe and known.any():
                past = np.stack([_enlarge(plane) for plane in picture.past]) / picture.past_distance
                yield Read(picture.frame, past * known, known, np.where(known, picture.frame - 1, -1), np.zeros(0))
        return
    if way == "mpeg4-best":
        with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
            best = Path(folder) / "best.mp4"
            _transcode(path, best)
            # MPEG-4 Part 2 without B pictures is read as it is.
            yield from _painted(best, "coviar")
        return
    yield from _painted(path, way)


def _transcode(path: Path, target: Path) -> None:
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    flags = {"flags": "+mv4+qpel", "bf": "0", "g": "12", "sc_threshold": "1000000000", "qmin": "2", "qmax": "2"}
    encode(target, pictures, "mpeg4", b="100M", mbd="rd", **flags)


def _painted(path: Path, backend: Any) -> Iterator[Read]:
    for picture in Video(path).vectors(backend=backend):
        vectors = picture.vectors[picture.vectors["distance"] > 0]
        if not len(vectors):
            continue
        velocity, known = np.zeros((2, HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH), np.bool_)
        reference = np.full((HEIGHT, WIDTH), -1)
        # The last that is painted counts: the nearest reference, and the past before the future.
        order = np.lexsort((-vectors["direction"], -vectors["distance"]))
        for x0, y0, x1, y1, dx, dy, direction, _, _, distance in vectors[order].tolist():
            box = slice(max(y0, 0), y1), slice(max(x0, 0), x1)
            velocity[(slice(None), *box)] = np.array([dx, dy])[:, None, None] / distance
            known[box] = True
            reference[box] = picture.frame + round(direction * distance)
        steps = np.concatenate((picture.vectors["dx"], picture.vectors["dy"])).astype(np.float64)
        yield Read(picture.frame, velocity, known, reference, steps)


def _enlarge(plane: NDArray[np.float32]) -> _Field:
    return np.kron(plane, np.ones((_CELL, _CELL)))[:HEIGHT, :WIDTH].astype(np.float64)


def vector_errors(found: Read, truth: Callable[[int, int], _Field]) -> _Field:
    """Distance of each known pixel's vector from its true way to the same reference, per picture; float64 [known]."""
    errors = np.zeros((HEIGHT, WIDTH))
    for reference in np.unique(found.reference[found.known]).tolist():
        there = found.known & (found.reference == reference)
        # A reference that libav guessed before the first or after the last picture has no truth.
        if 0 <= reference < PICTURES:
            true = truth(reference, found.frame) / max(abs(found.frame - reference), 1)
            errors[there] = np.hypot(*(found.velocity - true))[there]
    return errors[found.known]


def measure(rendered: Rendered, path: Path, way: str, cost: float) -> Row:
    """Hold one way of reading against the truth."""
    name = rendered.scene.name
    vector, field, edge, rest, covered, steps = [], [], [], [], [], []
    for found in read(path, way):
        velocity = true_velocity(rendered, found.frame)
        errors = np.hypot(*(found.velocity - velocity))
        edges = rendered.edges(found.frame)
        vector.append(vector_errors(found, rendered.motion).mean())
        field.append(errors.mean())
        rest.append(np.hypot(*velocity).mean())
        covered.append(found.known.mean())
        steps.append(found.steps)
        if edges.any():
            edge.append(errors[edges].mean())
    components = np.concatenate(steps)
    has_vectors = len(components) > 0
    return Row(
        scene=name,
        way=way,
        vector_error=float(np.mean(vector)),
        field_error=float(np.mean(field)),
        edge_error=float(np.mean(edge)) if edge else None,
        rest_error=float(np.mean(rest)),
        covered=float(np.mean(covered)),
        vectors=len(components) / 2 / len(field) / (WIDTH * HEIGHT / _BLOCK) if has_vectors else None,
        steps=_shares(components) if has_vectors else None,
        references=right_references(path) if way == "libav" else None,
        cost=cost,
    )


def right_references(path: Path) -> float:
    """Share of the blocks that libav and bitstream both list for which they name the same reference."""
    same = both = 0
    video = Video(path)
    for exact, assumed in zip(video.vectors(backend="bitstream"), video.vectors(backend="libav"), strict=True):
        keys = ["x0", "y0", "x1", "y1", "direction"]
        names = {tuple(block): name for *block, name in exact.vectors[[*keys, "reference"]].tolist()}
        for *block, name in assumed.vectors[[*keys, "reference"]].tolist():
            if tuple(block) in names:
                both += 1
                same += names[tuple(block)] == name
    return same / both


def true_velocity(rendered: Rendered, frame: int) -> _Field:
    """Where pixels came from since the picture before, float64 [2, H, W]."""
    return rendered.motion(frame - 1, frame)


def _shares(components: NDArray[np.float64]) -> dict[str, float]:
    """Share of components that need no, half or quarter pixels."""
    quarters = np.rint(4 * components).astype(np.int64) % 4
    kinds = {"whole": (0,), "half": (2,), "quarter": (1, 3)}
    return {kind: float(np.isin(quarters, fractions).mean()) for kind, fractions in kinds.items()}


def time_reading(path: Path, way: str, rounds: int) -> float:
    """Processor ms per second of video of reading alone, without what this benchmark does with it."""
    best = math.inf
    for _ in range(rounds):
        begin = time.process_time()
        if way == "proxy":
            count = sum(1 for _ in Video(path).pictures(backend="proxy", cell=_CELL))
        elif way == "mpeg4-best":
            with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
                _transcode(path, Path(folder) / "best.mp4")
                count = sum(1 for _ in Video(Path(folder) / "best.mp4").vectors(backend="coviar"))
        else:
            backend: Any = way
            count = sum(1 for _ in Video(path).vectors(backend=backend))
        best = min(best, (time.process_time() - begin) * 1000 / (count / RATE))
    return best


def error_map(rendered: Rendered, path: Path, way: str) -> list[list[float]]:
    """Field error of one picture, in cells of 8 x 8 pixels."""
    for found in read(path, way):
        if found.frame == _MAP_PICTURE:
            errors = np.hypot(*(found.velocity - true_velocity(rendered, found.frame)))
            rows = HEIGHT // _MAP_CELL, _MAP_CELL, WIDTH // _MAP_CELL, _MAP_CELL
            return np.round(errors.reshape(rows).mean((1, 3)), 2).tolist()
    raise SystemExit(f"{way} gives nothing of picture {_MAP_PICTURE}; choose another one for the maps.")


def run(scenes: Sequence[str], rounds: int) -> dict[str, Any]:
    """All scenes in all ways."""
    load = os.getloadavg()[0]
    rows, maps, megabits = [], {}, []
    for scene in SCENES:
        if scene.name not in scenes:
            continue
        rendered = Rendered(scene)
        rendered.check()
        with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
            path = Path(folder) / "scene.mp4"
            encode(path, rendered.pictures, "libx264", preset="medium", crf="23")
            megabits.append(8e-6 * path.stat().st_size * RATE / PICTURES)
            for way in WAYS:
                rows.append(measure(rendered, path, way, time_reading(path, way, rounds)))
                if scene.name == _MAP_SCENE:
                    maps[way] = error_map(rendered, path, way)
    return {
        "command": "python -m benchmarks.direct_vectors",
        "clips": f"{WIDTH} x {HEIGHT}, {PICTURES} pictures at {RATE} a second, x264 medium, crf 23, "
        f"{min(megabits):.1f} to {max(megabits):.1f} Mbit/s",
        "load": load,
        "rows": [asdict(row) for row in rows],
        "maps": {"scene": _MAP_SCENE, "picture": _MAP_PICTURE, "cell": _MAP_CELL, "errors": maps},
        "versions": versions(),
    }


def report(found: dict[str, Any]) -> None:
    """Print a table for each scene."""
    print(found["clips"])
    print(
        f"{'':12} {'vector error':>12} {'field':>7} {'edges':>7} {'covered':>8} {'vectors':>8}"
        f" {'1 1/2 1/4, %':>14} cost"
    )
    scene = ""
    for row in found["rows"]:
        if row["scene"] != scene:
            scene = row["scene"]
            print(f"{scene} (all at rest: {row['rest_error']:.2f} pixels a picture)")
        references = "" if row["references"] is None else f", {row['references']:.1%} of its references right"
        steps = " ".join(f"{100 * share:.0f}" for share in (row["steps"] or {}).values())
        edge, vectors = (f"{row[name]:.2f}" if row[name] is not None else "-" for name in ("edge_error", "vectors"))
        print(
            f"  {row['way']:10} {row['vector_error']:12.3f} {row['field_error']:7.3f} {edge:>7} {row['covered']:8.1%}"
            f" {vectors:>8} {steps or '-':>14} {row['cost']:.0f}{references}"
        )


def main() -> None:
    """Measure, print, and write the results and their figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [scene.name for scene in SCENES]
    parser.add_argument("--scene", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=3, help="of the timing")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the results")
    parser.add_argument("--figure", type=Path, help="draw them into this name with .png and with .svg behind it")
    parser.add_argument("--results", type=Path, help="draw what this JSON file holds; measure nothing")
    options = parser.parse_args()
    found = json.loads(options.results.read_text("utf-8")) if options.results else run(options.scene, options.rounds)
    report(found)
    if options.output:
        with atomic_path(options.output) as temporary:
            temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
