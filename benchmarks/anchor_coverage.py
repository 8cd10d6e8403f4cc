"""How well anchors of each mode cover a video that is cut together of real footage, and what they cost to decode.

    python -m benchmarks.anchor_coverage [--anchors 8 16 32] [--json]

Twenty-eight scenes of 0.6 to 4.8 s with hard cuts: the shots of himmel's sample clips, and pans over its photographs,
each also mirrored, in an order and at lengths drawn once; encoded four ways. And `bikes` as it comes, six shots in ten
seconds. For each it prints the share of scenes that get an anchor at all; the share of frames that are in an interval
whose anchor shows their own scene; the mean over all frames of the distance to the nearest anchor (mean absolute
difference of luma on 32 x 18 cells, in code values); and how many pictures have to be decoded. The thresholds of mode
`scene` were chosen on the same footage. Clips and photographs are fetched at the first call and kept in the cache, as
are the encoded videos.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from himmel._files import atomic_path, cache_root
from himmel.nano.assets import SampleClip, get_photographs, get_sample_clip
from himmel.video import Video
from himmel.video.file.decoder import plan_segments

Picture = NDArray[np.uint8]

RATE = 25
MODES = ("keyframe", "exact", "scene")
_WIDTH, _HEIGHT = 640, 360
_CELLS = (32, 18)
# Raised whenever the videos change.
_VERSION = 1
# First and last picture of each shot; bikes is itself cut together of several.
_SHOTS: tuple[tuple[SampleClip, int, int], ...] = (
    ("bikes", 0, 30),
    ("bikes", 30, 76),
    ("bikes", 76, 137),
    ("bikes", 137, 187),
    ("bikes", 187, 242),
    ("carphone", 0, 120),
    ("bigbuckbunny", 0, 120),
)
_BIKES = (0, 30, 76, 137, 187, 242)
_PHOTOGRAPHS = ("china.jpg", "flower.jpg", "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "brick.png")
ENCODINGS: dict[str, tuple[str, dict[str, str]]] = {
    "x264, keyframes at cuts": ("libx264", {}),
    "x264, a keyframe every 2 s": ("libx264", {"g": "50", "sc_threshold": "0"}),
    "x265, keyframes at cuts": ("libx265", {"x265-params": "log-level=none"}),
    "MPEG-4, a keyframe every 2 s": ("mpeg4", {"g": "50", "sc_threshold": "1000000000", "b": "2M"}),
}


@dataclass(frozen=True)
class Row:
    """Coverage of one video by one choice of anchors.

    Attributes:
        scenes_seen: share of scenes with at least one anchor.
        own_scene: share of frames whose interval's anchor shows their scene.
        distance: mean over frames of the distance to the nearest anchor, in luma code values.
        decoded: pictures that have to be decoded for all anchors.
    """

    encoding: str
    anchors: int
    mode: str
    scenes_seen: float
    own_scene: float
    distance: float
    decoded: int


def scenes() -> list[list[Picture]]:
    """The scenes in their order, pictures uint8 [360, 640, 3]."""
    sources = [_shot(*shot) for shot in _SHOTS] + [_pan(name) for name in _PHOTOGRAPHS]
    sources += [[np.ascontiguousarray(picture[:, ::-1]) for picture in source] for source in sources]
    rng = np.random.default_rng(0)
    return [sources[k][: int(rng.integers(15, 121))] for k in rng.permutation(len(sources))]


def encode(path: Path, pictures: Iterator[Picture], codec: str, options: dict[str, str]) -> None:
    """Write a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(name: str, path: Path, cuts: Sequence[int], small: NDArray[np.float32], anchors: int, mode: str) -> Row:
    """Coverage of a video whose scenes begin at `cuts` and whose pictures' small luma is `small` [T, 18, 32]."""
    video = Video(path)
    found = video.decompose(num_anchors=anchors, anchor_mode=mode, steps_per_interval=1)
    frames = np.array([anchor.frame for anchor in found.anchors])
    scene = np.searchsorted(cuts, np.arange(len(small)), side="right")
    # Frames before the first anchor belong to no interval.
    anchor_of = np.searchsorted(frames, np.arange(len(small)), side="right") - 1
    own = (anchor_of >= 0) & (scene[frames[anchor_of]] == scene)
    between = np.stack([np.abs(small - small[frame]).mean((1, 2)) for frame in frames])
    return Row(
        encoding=name,
        anchors=anchors,
        mode=mode,
        scenes_seen=len(set(scene[frames].tolist())) / len(cuts),
        own_scene=float(own.mean()),
        distance=float(between.min(0).mean()),
        decoded=_decoded(video, frames),
    )


def _decoded(video: Video, frames: NDArray[np.int64]) -> int:
    """Pictures that go through the decoder: each stretch from a keyframe on, without those that nobody refers to."""
    index = video._file.with_references().index
    sent = 0
    for segment in plan_segments(index, [{int(index.order[frame])} for frame in frames]):
        numbers = np.arange(segment.start, segment.wanted[-1] + 1)
        sent += int((index.key[numbers] | index.reference[numbers] | np.isin(numbers, segment.wanted)).sum())
    return sent


def _shot(name: SampleClip, first: int, stop: int) -> list[Picture]:
    with av.open(str(get_sample_clip(name))) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [_fit(picture) for picture in pictures[first:stop]]


def _pan(name: str) -> list[Picture]:
    photograph = np.asarray(Image.open(get_photographs() / name).convert("RGB"))
    height, width = photograph.shape[:2]
    wide = int(width * 0.6)
    tall = min(wide * _HEIGHT // _WIDTH, height)
    lefts = np.linspace(0, width - wide, 120).astype(int)
    tops = np.linspace(0, (height - tall) // 2, 120).astype(int)
    return [_fit(photograph[top : top + tall, left : left + wide]) for top, left in zip(tops, lefts, strict=True)]


def _fit(picture: Picture) -> Picture:
    """Cut to 16:9 and scale."""
    height, width = picture.shape[:2]
    tall = min(height, width * _HEIGHT // _WIDTH)
    wide = tall * _WIDTH // _HEIGHT
    top, left = (height - tall) // 2, (width - wide) // 2
    cut = picture[top : top + tall, left : left + wide]
    return cv2.resize(cut, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _small(picture: Picture) -> NDArray[np.float32]:
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return cv2.resize(luma, _CELLS, interpolation=cv2.INTER_AREA).astype(np.float32)


def run(counts: list[int]) -> list[Row]:
    """All encodings, numbers of anchors and modes."""
    shown = scenes()
    cuts = np.cumsum([0, *(len(scene) for scene in shown[:-1])]).tolist()
    small = np.stack([_small(picture) for scene in shown for picture in scene])
    videos = []
    for number, (name, (codec, options)) in enumerate(ENCODINGS.items()):
        path = cache_root() / "benchmarks" / f"scenes-{number}-v{_VERSION}.mp4"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                encode(temporary, (picture for scene in shown for picture in scene), codec, options)
        videos.append((name, path, cuts, small))
    whole = np.stack([_small(picture) for picture in _shot("bikes", 0, 250)])
    videos.append(("bikes as it comes", get_sample_clip("bikes"), list(_BIKES), whole))
    return [measure(*video, anchors, mode) for video in videos for anchors in counts for mode in MODES]


def main() -> None:
    """Print a row for each encoding, number of anchors and mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = run(options.anchors)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}, indent=2))
        return
    print(f"{'video':29} {'anchors':>7} {'mode':>9} {'scenes':>7} {'own scene':>10} {'distance':>9} {'decoded':>8}")
    for row in rows:
        print(
            f"{row.encoding:29} {row.anchors:7} {row.mode:>9} {row.scenes_seen:7.0%} {row.own_scene:10.0%} "
            f"{row.distance:9.1f} {row.decoded:8}"
        )


if __name__ == "__main__":
    main()
