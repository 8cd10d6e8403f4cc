"""Small streams of lively scenes that x264 encodes at test time, by name: what each one is there for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import av
import x264
from scenes import Scene, frames

CONTAINERS = (".mp4", ".mkv", ".ts", ".flv", ".h264")


@dataclass(frozen=True)
class Recipe:
    """How a stream is made.

    Attributes:
        params: x264's own, by its names; those of `x264.PARAMETERS` are set.
        scene: what is encoded.
        size: width and height in luma samples.
        count: number of pictures.
        options: of PyAV's libx264 beside them, such as {"profile": "high10"}.
        suffix: of the container.
    """

    params: dict[str, str]
    scene: str = "motion"
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = (112, 96)
    count: int = 10
    options: dict[str, str] = field(default_factory=dict)
    suffix: str = ".mp4"

    def encode(self, path: Path) -> Path:
        """Write the stream to `path`."""
        params = ":".join([x264.PARAMETERS, *(f"{name}={value}" for name, value in self.params.items())])
        with av.open(str(path), "w") as container:
            options = {"preset": "medium", **self.options, "x264-params": params}
            stream = container.add_stream("libx264", rate=25, options=options)
            (stream.width, stream.height), stream.pix_fmt = self.size, self.pix_fmt
            mark = x264.FieldOrder(*self.size, self.pix_fmt) if "tff" in self.params else lambda frame: frame
            for frame in frames(Scene(self.scene), self.count, *self.size, self.pix_fmt):
                container.mux(stream.encode(mark(frame)))
            container.mux(stream.encode(None))
        return path


def recipes() -> dict[str, Recipe]:
    """All streams by name, the most basic first."""
    found: dict[str, Recipe] = {}

    def add(name: str, params: str = "", *, suffix: str = "", **how: object) -> None:
        assert name not in found, name
        values = dict(p.split("=", 1) for p in params.split()) if params else {}
        found[name] = Recipe(values, suffix=suffix or CONTAINERS[len(found) % 5], **how)  # type: ignore[arg-type]

    coders = (("cavlc", "cabac=0"), ("cabac", "cabac=1"))
    for name, cabac in coders:
        rest = f"{cabac} scenecut=0"
        add(f"intra-{name}", f"{rest} keyint=1")
        add(f"p-16x16-{name}", f"{rest} partitions=none bframes=0 ref=1 weightp=0")
        add(f"p-4x4-{name}", f"{rest} partitions=all bframes=0 ref=1 qp=12 subme=9 me=umh", scene="bars")
        add(f"p-refs-{name}", f"{rest} partitions=all bframes=0 ref=5 qp=18 mixed-refs=1", scene="flash", count=12)
        for direct in ("none", "spatial", "temporal", "auto"):
            add(f"b-{direct}-{name}", f"{rest} partitions=all bframes=2 b-adapt=0 direct={direct} ref=3 qp=20")
        for qp in (1, 6, 40, 51):
            add(f"qp{qp}-{name}", f"{rest} qp={qp} bframes=1 partitions=all", scene="noise", count=6)
        add(f"still-{name}", f"{rest} bframes=3 partitions=all", scene="still", count=14)
        add(f"pcm-{name}", f"{rest} qp=1 bframes=2 b-adapt=0 subme=9 psy=0 aq-mode=0", scene="grain", count=7)
        add(f"smooth-{name}", f"{rest} bframes=2", scene="smooth")
        add(f"cut-{name}", f"{cabac} scenecut=60 bframes=3 partitions=all", scene="cut", count=14)
        add(f"constrained-{name}", f"{rest} constrained-intra=1 bframes=2", scene="bars")
        add(f"refresh-{name}", f"{rest} intra-refresh=1 keyint=5 bframes=0 ref=1", scene="motion", count=14)
        add(f"slices-{name}", f"{rest} slices=5 bframes=2 ref=2 partitions=all")
        add(f"slice-bytes-{name}", f"{rest} slice-max-size=120 bframes=1", count=8)
        add(f"slice-mbs-{name}", f"{rest} slice-max-mbs=4 slice-min-mbs=2 bframes=2 direct=temporal", count=8)
        add(f"fake-interlaced-{name}", f"{rest} fake-interlaced=1 bframes=3 direct=temporal ref=2")
        for weightp in (0, 1, 2):
            add(f"weightp{weightp}-{name}", f"{rest} weightp={weightp} bframes=2 weightb={weightp & 1}", scene="fade")
    for refs in range(1, 17):
        pyramid = ("none", "strict", "normal")[refs % 3]
        coder = refs & 1
        params = f"cabac={coder} ref={refs} bframes=2 b-pyramid={pyramid} partitions=all scenecut=0 mixed-refs=1"
        add(f"refs{refs}", params, scene="flash", count=refs + 8, size=(80, 64))
    for bframes in range(17):
        pyramid, direct = ("strict", "normal", "none")[bframes % 3], ("temporal", "spatial", "auto")[bframes // 2 % 3]
        params = (
            f"cabac={~bframes & 1} bframes={bframes} b-adapt=0 b-pyramid={pyramid} direct={direct} ref=4 scenecut=0"
        )
        add(f"bframes{bframes}", params, count=2 * bframes + 5, size=(80, 64))
    for (name, cabac), order, direct in product(coders, ("tff", "bff"), ("none", "spatial", "temporal", "auto")):
        params = f"{cabac} {order}=1 direct={direct} bframes=3 b-adapt=0 ref=3 partitions=all qp=22 scenecut=0"
        add(f"{order}-{direct}-{name}", params, scene="fields")
    for name, cabac in coders:
        # Not with constrained-intra: FFmpeg takes what x264 then writes for damaged, and conceals it.
        rest = f"{cabac} tff=1 scenecut=0"
        add(f"tff-intra-{name}", f"{rest} keyint=1", scene="fields", count=5)
        add(f"tff-p-{name}", f"{rest} bframes=0 ref=1 partitions=none", scene="fields")
        add(
            f"tff-refs-{name}",
            f"{rest} bframes=2 ref=8 partitions=all b-pyramid=normal qp=16",
            scene="fields",
            count=16,
        )
        add(f"tff-still-{name}", f"{rest} bframes=3 ref=2", scene="still", count=12)
        add(f"tff-pcm-{name}", f"{rest} qp=1 bframes=2 b-adapt=0 subme=9 psy=0 aq-mode=0", scene="grain", count=7)
        add(f"tff-smooth-{name}", f"{rest} bframes=2", scene="smooth")
        add(f"tff-fade-{name}", f"{rest} bframes=3 weightb=1", scene="fade", count=12)
        add(f"tff-slices-{name}", f"{rest} slices=3 bframes=2 direct=temporal", scene="fields")
        add(f"tff-8x8-{name}", f"{rest} 8x8dct=1 bframes=2 direct=spatial qp=30 partitions=all", scene="fields")
        add(f"tff-qp0-{name}", f"{rest} qp=0", scene="fields", count=5, pix_fmt="yuv444p")
        add(f"tff-low-qp-{name}", f"{rest} qp=3 bframes=2", scene="noise", count=6)
    formats = ("yuv420p10le", "yuv422p", "yuv422p10le", "yuv444p", "yuv444p10le", "gray", "gray10le")
    for (name, cabac), pix_fmt, fields in product(coders, formats, (0, 1)):
        params = f"{cabac} bframes=2 ref=2 partitions=all qp=20 scenecut=0" + " tff=1" * fields
        add(
            f"{pix_fmt}{'-tff' * fields}-{name}",
            params,
            pix_fmt=pix_fmt,
            scene="fields" if fields else "motion",
            count=7,
        )
    for (name, cabac), pix_fmt in product(coders, ("yuv420p", "yuv422p", "yuv444p")):
        add(f"lossless-{pix_fmt}-{name}", f"{cabac} qp=0", pix_fmt=pix_fmt, count=6, size=(64, 48))
    for profile in ("baseline", "main", "high", "high10", "high422", "high444"):
        add(f"profile-{profile}", "scenecut=0", options={"profile": profile}, size=(96, 80))
    for me, subme in (("dia", 1), ("hex", 2), ("umh", 5), ("esa", 8), ("tesa", 10)):
        add(f"me-{me}", f"me={me} subme={subme} merange=16 bframes=2 trellis=2 aq-mode=1", scene="bars", count=8)
    for width, height in ((34, 18), (50, 98), (176, 144), (66, 130), (18, 34), (130, 22)):
        add(f"size-{width}x{height}", "bframes=2 ref=2 scenecut=0", size=(width, height))
    for width, height in ((48, 36), (98, 68), (66, 100)):
        add(f"size-{width}x{height}-tff", "tff=1 bframes=2 ref=2", size=(width, height), scene="fields")
    for parts in ("none", "p8x8", "p8x8,p4x4", "b8x8", "i4x4", "i8x8", "all"):
        add(f"parts-{parts}", f"partitions={parts} bframes=2 8x8dct=1 qp=16 scenecut=0", scene="bars", count=8)
    add("b-weighted", "bframes=4 b-adapt=0 weightb=1 b-pyramid=normal ref=6 partitions=all", scene="fade", count=18)
    add("open-gop", "open-gop=1 keyint=6 min-keyint=2 bframes=3 b-adapt=0", count=22)
    add("open-gop-tff", "open-gop=1 keyint=6 bframes=2 b-adapt=0 tff=1", count=16, scene="fields")
    add("jvt-matrices", "cqm=jvt bframes=2 8x8dct=1")
    add("crop", "crop-rect=4,2,6,8 bframes=2")
    add("fast-skip", "no-fast-pskip=1 no-dct-decimate=1 bframes=2", scene="still")
    add("no-chroma-me", "no-chroma-me=1 chroma-qp-offset=-8 bframes=2")
    add("keyframes", "keyint=4 min-keyint=1 bframes=2 ref=4", count=18)
    return found


def crossed() -> dict[str, Recipe]:
    """Options that decide which vectors there are, crossed with both entropy codings; small, for vectors alone."""
    found: dict[str, Recipe] = {}

    def add(
        name: str, params: str, *, size: tuple[int, int] = (80, 64), count: int = 10, scene: str = "motion"
    ) -> None:
        for coder in (0, 1):
            values = {"cabac": str(coder), **dict(p.split("=", 1) for p in params.split())}
            suffix = CONTAINERS[len(found) % 5]
            found[f"{name}-{('cavlc', 'cabac')[coder]}"] = Recipe(values, scene, size=size, count=count, suffix=suffix)

    for ref, bframes in product((1, 2, 4, 8, 16), (0, 1, 3)):
        add(f"ref{ref}-b{bframes}", f"ref={ref} bframes={bframes} b-adapt=0", count=12)
    for direct, pyramid in product(("none", "spatial", "temporal", "auto"), ("none", "strict", "normal")):
        params = f"direct={direct} b-pyramid={pyramid} bframes=4 ref=4 b-adapt=0 partitions=all scenecut=0"
        add(f"direct-{direct}-{pyramid}", params, count=14)
    for parts, dct in product(("none", "p8x8,b8x8", "p8x8,p4x4,b8x8,i8x8,i4x4", "all"), (0, 1)):
        add(f"parts-{parts}-dct{dct}", f"partitions={parts} 8x8dct={dct} bframes=2 ref=3 scenecut=0", scene="bars")
    for order, bframes in product(("tff", "bff"), (0, 3)):
        params = f"{order}=1 bframes={bframes} b-adapt=0 ref=4 partitions=all"
        add(f"{order}-ref4-b{bframes}", params, scene="fields", count=12)
    for qp in (10, 20, 30):
        add(f"qp{qp}", f"qp={qp} bframes=2", scene="noise", count=7)
    # One macroblock wide or high: there is nothing to the left, or above.
    for width, height in ((176, 16), (16, 96), (64, 62)):
        add(f"size-{width}x{height}", "bframes=2", size=(width, height))
    for width, height in ((176, 16), (176, 32), (16, 96), (130, 100)):
        add(f"size-{width}x{height}-tff", "bframes=2 tff=1", size=(width, height), scene="fields")
    for bframes in (8, 16):
        add(f"b{bframes}-ref8", f"bframes={bframes} b-adapt=0 b-pyramid=normal ref=8", count=20)
    add("slices-temporal", "slices=4 bframes=2 direct=temporal")
    add("open-gop", "open-gop=1 keyint=5 bframes=3 b-adapt=0", count=16)
    return found


RECIPES = recipes()
CROSSED = crossed()

# x264's own report, a text in a user data SEI message.
_REPORT = re.compile(rb"x264 - core \d+.*? - options: ([ -~]+)")


def report(path: Path) -> dict[str, str]:
    """What x264 says it did: its option names and values."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        text = _REPORT.search(bytes(next(container.demux(video))) + bytes(video.codec_context.extradata or b""))
    assert text is not None, "the stream has no report of x264"
    return dict(option.partition("=")[::2] for option in text.group(1).decode().split())


_VALUES = {
    "direct": {"none": "0", "spatial": "1", "temporal": "2", "auto": "3"},
    "b_pyramid": {"none": "0", "strict": "1", "normal": "2"},
}
# Not reported, in masks, or added to by other options.
_SILENT = {"chroma_qp_offset", "partitions", "crop_rect", "fake_interlaced", "slice_min_mbs"}


def expected_report(params: dict[str, str]) -> dict[str, str]:
    """What the report says if x264 follows its settings."""
    wanted: dict[str, str] = {}
    names = {
        "mixed_refs": "mixed_ref",
        "min_keyint": "keyint_min",
        "merange": "me_range",
        "no_fast_pskip": "fast_pskip",
    }
    names |= {
        "no_dct_decimate": "decimate",
        "no_chroma_me": "chroma_me",
    }
    for name, value in params.items():
        key = name.replace("-", "_")
        if key in ("tff", "bff"):
            wanted["interlaced"] = key
        elif key == "aq_mode":
            wanted["aq"] = f"{value}:1.00" if int(value) else value
        elif key == "cqm":
            wanted[key] = "1"
        elif key == "qp" and value == "0":
            wanted |= {"rc": "cqp", key: value}
        elif key not in _SILENT:
            value = str(1 - int(value)) if key.startswith("no_") else _VALUES.get(key, {}).get(value, value)
            wanted[names.get(key, key)] = value
    # What has no meaning is not reported, or as off: a pyramid needs two B pictures in a row.
    bframes = int(wanted.get("bframes", 3))
    without = {"b_pyramid"} if bframes < 2 else set()
    without |= {"b_adapt", "direct", "weightb"} if bframes == 0 else set()
    without |= {"mixed_ref"} if wanted.get("ref") == "1" else set()
    return {key: value for key, value in wanted.items() if key not in without}
