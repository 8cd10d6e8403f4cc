"""Anchors where the codec itself spent bits or intra blocks: one for each scene (report, section 6).

A cut shows in a file before anything is decoded. An encoder that looks for cuts puts a keyframe there, ahead of its
regular time; one that doesn't spends on the first picture of the new scene what a keyframe costs, several times as much
as on its neighbours. Where the stream can be parsed, the intra-coded area of the few pictures with such
peaks decides.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from himmel.video.file.index import PictureIndex
from himmel.video.file.opened import VideoFile
from himmel.video.schedule import TimeArray, make_distinct, nearest

IntArray = npt.NDArray[np.int64]
IntraShares = Callable[[Sequence[int]], Mapping[int, float] | None]

# Neighbours on either side with which a picture is compared, and which quantile of their bits.
_NEIGHBOURS = 6
_QUANTILE = 0.75
# How many times its neighbours' bits a picture must take, and what share of a keyframe's: to be taken for a change by
# its bits alone, and to be worth parsing. Chosen on the footage of benchmarks/anchor_coverage.py.
_ALONE = (2.0, 0.45)
_PARSED = (1.5, 0.1)
_INTRA_SHARE = 0.4
# Shorter than this share of the longest distance between keyframes, less one picture, is too soon.
_REGULAR = 0.98


def read_changes(
    file: VideoFile, *, look_closer: Callable[[VideoFile, Sequence[int]], Mapping[int, float] | None], most: int
) -> dict[int, str]:
    """`find_changes` of a file.

    Args:
        look_closer: `Backend.intra_shares` of the backend that may read it.
    """
    referring = file.with_references()
    return find_changes(referring.index, look_closer=lambda numbers: look_closer(referring, numbers), most=most)


def find_changes(index: PictureIndex, *, look_closer: IntraShares, most: int) -> dict[int, str]:
    """Pictures at which a new scene begins: presentation indices in order, each with what showed it.

    Args:
        index: of the file, with references.
        look_closer: gives the share of intra-coded area, 0..1, of pictures named by decode-order numbers, as far as
            they can be parsed, or None where the stream can't be.
        most: at most so many pictures are parsed, those with the highest peaks.

    Returns:
        "keyframe" (one ahead of its regular time), "bits" (by its size alone) or "intra" (by its size, and parsed).
    """
    ratio, share = _peaks(index)
    candidates = np.flatnonzero((ratio >= _PARSED[0]) & (share >= _PARSED[1]))
    chosen = np.sort(candidates[np.argsort(-ratio[candidates], kind="stable")][:most])
    parsed = look_closer(chosen.tolist())
    if parsed is None:
        told = {int(number): "bits" for number in np.flatnonzero((ratio >= _ALONE[0]) & (share >= _ALONE[1]))}
    else:
        told = {number: "intra" for number, intra in parsed.items() if intra >= _INTRA_SHARE}
    told |= {int(number): "keyframe" for number in _early_keyframes(index)}
    frames = np.full(len(index.size), -1)
    frames[index.order] = np.arange(len(index.order))
    return {int(frames[number]): told[number] for number in sorted(told, key=lambda n: frames[n]) if frames[number] > 0}


def place_scene_anchors(
    times: TimeArray, duration: float, keyframes: IntArray, changes: Mapping[int, str], num_anchors: int
) -> tuple[IntArray, tuple[str, ...]]:
    """Pictures that become anchors, strictly increasing, `num_anchors` of them or all; and why each is one.

    The first picture and the first of each scene; where there are more scenes than anchors, the longest ones. No two
    of these are closer than a quarter of the uniform spacing. Any anchors that are left are spread evenly over the
    longest stretches, each at the nearest keyframe within a quarter of its stretch. A change that is not a
    keyframe is replaced by a keyframe that follows within an eighth of the uniform spacing in the same scene, which is
    cheaper to decode.

    Args:
        times: float64 [T], sorted, in seconds.
        duration: of the video in seconds.
        keyframes: int64 [K], sorted indices into `times`.
        changes: from `find_changes`.
        num_anchors: wanted.

    Returns:
        int64 [n] indices into `times`; "start", "coverage", or what showed the change.
    """
    count = min(num_anchors, len(times))
    room = duration / count / 4
    begins = np.array([0, *changes], np.int64)
    lengths = np.diff(np.append(times[begins], duration))
    chosen: dict[int, str] = {0: "start"}
    for place in np.argsort(-lengths, kind="stable").tolist():
        begin = int(begins[place])
        if len(chosen) < count and all(abs(times[begin] - times[other]) >= room for other in chosen):
            chosen[begin] = changes[begin]
    reasons = {0: chosen.pop(0)}
    reasons |= {_cheaper(times, begin, begins, keyframes, room / 2): why for begin, why in chosen.items()}
    fixed = np.array(sorted(reasons), np.int64)
    for frame in _fill(times, duration, keyframes, fixed, count - len(fixed)):
        reasons[frame] = "coverage"
    anchors = sorted(reasons)
    return np.array(anchors, np.int64), tuple(reasons[frame] for frame in anchors)


def _early_keyframes(index: PictureIndex) -> IntArray:
    """Decode-order numbers of keyframes that come clearly sooner after the one before than the longest do.

    The longest distance is the encoder's limit if it occurs twice; if not, no keyframe was forced by it.
    """
    keys = np.flatnonzero(index.key & index.shown)
    gaps = np.diff(index.rank[keys])
    if not len(gaps):
        return np.zeros(0, np.int64)
    regular = gaps >= _REGULAR * gaps.max() - 1
    return keys[1:] if regular.sum() == 1 else keys[1:][~regular]


def _peaks(index: PictureIndex) -> tuple[TimeArray, TimeArray]:
    """[P] bits of each picture over those of its neighbours, and over those of a keyframe.

    A neighbour is a picture that others refer to, but no keyframe; only such are compared, all others have 0. Of the
    third quartiles of those before and those after, the larger one counts: with the median, the P pictures of a
    pyramid would look like peaks, and with one side alone a scene that costs more than the one before.
    """
    ratio, share = np.zeros(len(index.size)), np.zeros(len(index.size))
    plain = np.flatnonzero(~index.key & index.reference & index.shown)
    keys = np.flatnonzero(index.key & index.shown)
    if len(plain) <= _NEIGHBOURS or not len(keys):
        return ratio, share
    bits = index.size.astype(np.float64)
    seconds = np.flatnonzero(index.second)
    bits[seconds - 1] += bits[seconds]
    sizes = np.maximum(bits[plain], 1)
    # At either end the first or last neighbour is repeated.
    padded = np.pad(sizes, _NEIGHBOURS, mode="edge")
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, _NEIGHBOURS), axis=1)
    usual = windows[:, round(_QUANTILE * (_NEIGHBOURS - 1))]
    # The first picture has none before it, the last none after: neither is a change.
    before = np.append(np.inf, usual[1 : len(plain)])
    after = np.append(usual[_NEIGHBOURS + 1 : -1], np.inf)
    ratio[plain] = sizes / np.maximum(before, after)
    share[plain] = sizes / np.median(bits[keys])
    return ratio, share


def _cheaper(times: TimeArray, begin: int, begins: IntArray, keyframes: IntArray, reach: float) -> int:
    """The first keyframe from `begin` on that lies within reach and before the next scene; else `begin`."""
    following = begins[begins > begin]
    for frame in keyframes[np.searchsorted(keyframes, begin) :][:1].tolist():
        if times[frame] - times[begin] <= reach and not (len(following) and frame >= following[0]):
            return int(frame)
    return begin


def _fill(times: TimeArray, duration: float, keyframes: IntArray, fixed: IntArray, count: int) -> list[int]:
    """`count` more pictures, dealt to the stretches after `fixed`, always to the one with the longest pieces."""
    stops = np.append(fixed[1:], len(times))
    starts, ends = times[fixed], np.append(times[fixed[1:]], duration)
    dealt = np.zeros(len(fixed), np.int64)
    for _ in range(count):
        pieces = np.where(dealt < stops - fixed - 1, (ends - starts) / (dealt + 1), -1.0)
        dealt[np.argmax(pieces)] += 1
    frames: list[int] = []
    for first, stop, start, end, more in zip(fixed + 1, stops, starts, ends, dealt, strict=True):
        if more:
            wanted = start + (end - start) * np.arange(1, more + 1) / (more + 1)
            near = _at_keyframes(times, wanted, keyframes, (end - start) / (more + 1) / 4)
            frames += make_distinct(near, int(first), int(stop)).tolist()
    return frames


def _at_keyframes(times: TimeArray, wanted: TimeArray, keyframes: IntArray, reach: float) -> IntArray:
    chosen = nearest(times, wanted)
    if not len(keyframes):
        return chosen
    candidate = keyframes[nearest(times[keyframes], wanted)]
    return np.where(np.abs(times[candidate] - wanted) <= reach, candidate, chosen)
