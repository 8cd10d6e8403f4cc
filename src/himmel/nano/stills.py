"""Single pictures for the projector: what a clip's first picture shows, in the words of the image tokens' slots."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Final
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from himmel.nano.catalogue import EMOJI, NUMBERS, PHOTOGRAPHS, Split
from himmel.nano.clips import ClipSpec, Thing
from himmel.nano.draw import draw_spec
from himmel.nano.pictures import Picture
from himmel.nano.render import first_picture
from himmel.nano.words import NOTHING

_BARE_SHARE: Final = 0.15
_EMPTY_SHARE: Final = 0.1
_RESERVED_SHARE: Final = 5
"""One name in so many teaches when to trust the classifier, and nothing else."""
_RESERVED_SCENES: Final = ("coffee", "motorcycle", "rocket")


@dataclass(frozen=True, repr=False)
class Still:
    """One picture and its words.

    Attributes:
        picture: uint8 [160, 160, 3], RGB, with traces of compression.
        words: for each slot of `himmel.hosts.nano.projector.SLOTS` its word, or None where none is taught.
        reserved: bool [16], slots whose word the projector must not learn itself: it is one of the names and scenes
            that teach when the tower's classifier knows better.
    """

    picture: Picture
    words: tuple[str | None, ...]
    reserved: NDArray[np.bool_]


def draw_still(seed: int, split: Split = "train") -> Still:
    """Draw a picture; the same arguments give the same one.

    It is the first of the clip of that seed; in some, the small shapes or the larger things are left out.

    Raises:
        UsageError: the seed belongs to the other split.
        HimmelError: emoji or photographs are not in the cache and cannot be fetched.
    """
    spec = replace(draw_spec(seed, split), change=None)
    rng = np.random.default_rng([seed, 4])
    things = list(spec.things)
    if rng.random() < _BARE_SHARE:
        things = [thing for thing in things if thing.place is not None]
    if rng.random() < _EMPTY_SHARE:
        things = [thing for thing in things if thing.place is None]
    shown = replace(spec, things=tuple(things), acts=(None,) * len(spec.acts), camera=(None,) * len(spec.camera))
    words, reserved = slot_words(shown)
    return Still(picture=_compressed(rng, first_picture(shown)), words=words, reserved=reserved)


def slot_words(spec: ClipSpec) -> tuple[tuple[str | None, ...], NDArray[np.bool_]]:
    """What the slots should say of a clip's anchors, see `Still.words` and `Still.reserved`."""
    small = [thing for thing in spec.things if thing.place is None]
    corners: dict[int, Thing] = {thing.place: thing for thing in spec.things if thing.place is not None}
    rows = [_corner(corners.get(place)) for place in range(4)]
    scene = PHOTOGRAPHS[spec.split][spec.background.photograph].scene
    number, colour, shape, other_colour, other_shape = [NOTHING] * 5
    if small:
        number, colour, shape = NUMBERS[len(small) - 2], small[0].colour, small[0].shape
        other_colour, other_shape = small[-1].colour, small[-1].shape
    said = (*rows[0], *rows[1], scene, None, number, colour, *rows[2], *rows[3], shape, other_colour, other_shape, None)
    return said, np.array([word is not None and word in _reserved() for word in said])


def _corner(thing: Thing | None) -> tuple[str | None, str]:
    """Colour and name; an emoji's colour is nobody's question."""
    if thing is None:
        return NOTHING, NOTHING
    return (None, thing.name) if thing.emoji else (thing.colour, thing.shape)


@cache
def _reserved() -> frozenset[str]:
    names = {name for name in EMOJI if crc32(name.encode()) % _RESERVED_SHARE == 0}
    return frozenset(names | set(_RESERVED_SCENES))


def _compressed(rng: np.random.Generator, picture: Picture) -> Picture:
    """As a coded anchor may look: JPEG's blocks stand for H.264's."""
    quality = int(rng.integers(35, 97))
    done, coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        return picture
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return picture if decoded is None else np.ascontiguousarray(decoded[..., ::-1]).astype(np.uint8)
