"""Which pictures of a damaged file are whole, as far as the decoder can tell."""

from himmel.video.file.decoder import Decoder, Segment
from himmel.video.file.index import PictureIndex

# Pictures in a row, and keyframes, among which a whole one is looked for.
_PICTURES, _KEYFRAMES = 32, 8


def next_whole_picture(decoder: Decoder, frame: int, stop: int) -> int | None:
    """The first whole picture after a damaged one, by presentation indices; None if there is none nearby.

    The rest of its group of pictures is looked through, then one keyframe after the other.

    Args:
        decoder: of the file, whose index has references.
        frame, stop: after the one, before the other.
    """
    index = decoder.index
    numbers = {int(index.order[f]): f for f in range(frame + 1, min(frame + 1 + _PICTURES, stop))}
    keys = [f for f in range(frame + 1, stop) if index.key[index.order[f]]]
    if numbers:
        start = index.start_for(min(numbers))
        whole = whole_pictures(decoder, Segment(start, tuple(sorted(numbers))))
        found = min((numbers[number] for number in whole), default=stop)
        if found < stop:
            return found
    for key in keys[:_KEYFRAMES]:
        number = int(index.order[key])
        if whole_pictures(decoder, Segment(number, (number,))):
            return key
    return None


def whole_pictures(decoder: Decoder, segment: Segment) -> set[int]:
    """Those wanted pictures of a segment that come without damage, as do all that they may be predicted from.

    The decoder flags a picture of which it had to guess parts. What is predicted from such a picture, or from one that
    doesn't come at all, is not flagged, but not right either, up to the next keyframe.
    """
    came = {number: frame.is_corrupt for number, frame in decoder.pictures(segment)}
    wanted, index = set(segment.wanted), decoder.index
    whole: set[int] = set()
    spoilt = False
    for number in range(segment.start, segment.wanted[-1] + 1):
        if not _is_picture(index, number):
            continue
        spoilt = spoilt and not index.key[number]
        is_whole = not spoilt and not came.get(number, True)
        if is_whole and number in wanted:
            whole.add(number)
        spoilt = spoilt or bool(index.reference[number] and not is_whole)
    return whole


def _is_picture(index: PictureIndex, number: int) -> bool:
    return bool(index.coded[number] and not index.second[number])
