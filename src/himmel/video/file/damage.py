"""Which pictures of a damaged file are undamaged, as far as the decoder can tell."""

from himmel.video.file.decoder import Decoder, Segment

# Pictures in a row, and keyframes, among which a whole one is looked for.
_PICTURES, _KEYFRAMES = 32, 8


def nearest_whole_picture(decoder: Decoder, frame: int, begin: int, stop: int) -> int | None:
    """A whole picture in place of a damaged one, by presentation indices; None if there is none nearby.

    The next one in the rest of its group of pictures or else among the keyframes that follow; otherwise the last one
    before it.

    Args:
        decoder: of the file, whose index has references.
        frame: the damaged one.
        begin, stop: from the one up to the other, without it, may be looked for.
    """
    order, key = decoder.index.order, decoder.index.key
    after = _whole_frames(decoder, range(frame + 1, min(frame + 1 + _PICTURES, stop)))
    if after:
        return min(after)
    for keyframe in [f for f in range(frame + 1, stop) if key[order[f]]][:_KEYFRAMES]:
        if _whole_frames(decoder, range(keyframe, keyframe + 1)):
            return keyframe
    return max(_whole_frames(decoder, range(max(begin, frame - _PICTURES), frame)), default=None)


def _whole_frames(decoder: Decoder, frames: range) -> set[int]:
    index = decoder.index
    numbers = {int(index.order[frame]): frame for frame in frames}
    if not numbers:
        return set()
    start = min(index.start_for(number) for number in numbers)
    return {numbers[number] for number in whole_pictures(decoder, Segment(start, tuple(sorted(numbers))))}


def whole_pictures(decoder: Decoder, segment: Segment) -> set[int]:
    """Those wanted pictures of a segment that come without damage, as do all that they may be predicted from.

    The decoder flags a picture of which it had to guess parts. A picture predicted from such a one, or from one that
    is missing, is not flagged, but is wrong too, up to the next keyframe.
    """
    came = {number: frame.is_corrupt for number, frame in decoder.pictures(segment)}
    wanted, index = set(segment.wanted), decoder.index
    whole: set[int] = set()
    spoilt = False
    for number in range(segment.start, segment.wanted[-1] + 1):
        if index.second[number] or not index.coded[number]:
            continue
        spoilt = spoilt and not index.key[number]
        is_whole = not spoilt and not came.get(number, True)
        if is_whole and number in wanted:
            whole.add(number)
        spoilt = spoilt or bool(index.reference[number] and not is_whole)
    return whole
