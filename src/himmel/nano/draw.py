"""Drawing a clip's specification from a seed, so that only what it shows gives the answers to its questions.

Three habits keep other roads shut. What is asked about is drawn first and evenly. Homes, backgrounds and encodings are
drawn without looking at it. And the questions of one clip are chosen so that no question's wording or options answer
another, as several may be read in one conversation.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np

from himmel.errors import UsageError
from himmel.nano.catalogue import ACTIONS, CAMERA_MOTIONS, COLOURS, EMOJI, HELD_OUT_EMOJI, PHOTOGRAPHS, SHAPES, Split
from himmel.nano.clips import (
    FIRST_EVAL_SEED,
    NUM_INTERVALS,
    SIZE,
    Act,
    Background,
    ClipSpec,
    Encoding,
    Scenario,
    Style,
    Thing,
)
from himmel.nano.kinds import KINDS, Kind
from himmel.nano.plan import draw_change, plan_acts, plan_camera

T = TypeVar("T")

_ANY: Final[tuple[Scenario, ...]] = (
    "moves", "period", "two ways", "two things", "camera", "speeds", "several", "acts", "repeats", "action pair",
)  # fmt: skip
# Where the options name all things, as in "two things", none of them can be asked about beside.
_UNNAMED: Final = tuple(scenario for scenario in _ANY if scenario != "two things")
_SCENARIOS: Final[dict[Kind, tuple[Scenario, ...]]] = {
    "direction": ("moves", "moves", "period", "camera"),
    "camera": ("camera",),
    "count": ("moves", "moves", "moves", "camera"),
    "mover": ("moves", "period", "two ways", "acts"),
    "first": ("two things",),
    "order": ("two ways",),
    "when": ("period",),
    "place": ("moves", "period", "two ways", "acts"),
    "speed": ("speeds",),
    "moving count": ("several",),
    "action": ("acts",),
    "action count": ("repeats",),
    "action order": ("action pair",),
    "object": _UNNAMED,
    "colour": _ANY,
    "number": _ANY,
    "scene": _ANY,
    "position": _UNNAMED,
    "state": ("change",),
}
_ASKABLE: Final[dict[Scenario, tuple[Kind, ...]]] = {
    "moves": ("direction", "count"),
    "period": ("direction", "when"),
    "two ways": ("order",),
    "two things": ("first",),
    "camera": ("camera",),
    "speeds": ("speed",),
    "several": ("moving count",),
    "acts": ("action",),
    "repeats": ("action count",),
    "action pair": ("action order",),
    "change": ("state",),
}
_STYLED: Final = ("moves", "period", "two ways", "acts")
"""Scenarios in which one thing acts, so that it may be asked which, or where."""
_DRIFT_SHARE: Final = 0.25
_DRIFTING: Final = ("moves", "period", "two ways", "two things", "camera", "several")
_LONG_SHARE: Final = 0.15
_MOST_PICTURES: Final = 1440
_ENCODINGS: Final[dict[Split, tuple[tuple[str, ...], tuple[int, ...]]]] = {
    "train": (("superfast", "veryfast", "veryfast", "fast"), tuple(range(20, 33, 2))),
    "eval": (("ultrafast", "faster", "faster", "medium"), tuple(range(21, 33, 2))),
}
"""Presets, and quantisers or constant rate factors, of x264; no setting of one half is one of the other's."""


def draw_spec(seed: int, split: Split = "train", kind: Kind | None = None, *, returns: bool | None = None) -> ClipSpec:
    """Draw a clip; the same arguments give the same clip on every machine.

    Args:
        seed: 0 to 9,999,999 for training, from 10,000,000 for evaluation.
        split: "train" or "eval", which use other photographs, other emoji and other settings of the encoder.
        kind: a kind of question that the clip must answer; None draws one evenly.
        returns: whether all is back in its place at each anchor; None: always in evaluation, in three of four training
            clips whose things or camera move along. Kinds about anything else exist only where it is.

    Raises:
        UsageError: the seed belongs to the other split, there is no such kind, or a clip of that kind always returns.
    """
    if seed < 0 or (seed >= FIRST_EVAL_SEED) != (split == "eval"):
        raise UsageError(
            f"Seed {seed} is not one of split {split!r}; take 0 to {FIRST_EVAL_SEED - 1} for training "
            f"and {FIRST_EVAL_SEED} or more for evaluation."
        )
    if kind is not None and kind not in KINDS:
        raise UsageError(f"There is no question kind {kind!r}; choose one of {', '.join(KINDS)}.")
    rng = np.random.default_rng([seed])
    drawn = _pick(rng, KINDS)
    kind = drawn if kind is None else kind
    scenarios = _SCENARIOS[kind]
    may_drift = kind != "place" and any(scenario in _DRIFTING for scenario in scenarios)
    if returns is False and not may_drift:
        raise UsageError(
            f"A clip of kind {kind!r} always returns, because what it asks about has no lasting place; leave "
            "`returns` out."
        )
    drifts = rng.random() < _DRIFT_SHARE and split == "train" if returns is None else not returns
    if returns is False:
        scenarios = tuple(scenario for scenario in scenarios if scenario in _DRIFTING)
    scenario = _pick(rng, scenarios)
    drifts = drifts and scenario in _DRIFTING and kind != "place"
    return _draw(rng, seed, split, kind, scenario, returns=not drifts)


def _draw(
    rng: np.random.Generator, seed: int, split: Split, kind: Kind, scenario: Scenario, *, returns: bool
) -> ClipSpec:
    style = _draw_style(rng, kind, scenario, returns=returns)
    photograph = _pick(rng, tuple(PHOTOGRAPHS[split]))
    camera_motion = _pick(rng, tuple(CAMERA_MOTIONS)) if scenario == "camera" else "stays still"
    object_moves = scenario != "camera" or kind in ("direction", "count") or rng.random() < 0.5
    asked = _draw_asked(rng, kind, scenario, style, object_moves=object_moves)
    everything = style != "named" or scenario in ("two things", "several")
    count = 4 if everything else int(rng.integers(2, 5))
    order = tuple(int(i) for i in rng.permutation(count))
    shapes = [SHAPES[i] for i in rng.permutation(len(SHAPES))]
    names = _draw_names(rng, count, order[0], _names_to_draw(split, photograph), shapes[:2], scenario)
    things = (*_place_things(rng, names), *_small_shapes(rng, shapes[2], shapes[3]))
    rate, lengths = _draw_lengths(rng, split)
    camera = plan_camera(rng, camera_motion, lengths, returns=returns)
    one, other = (ACTIONS[int(i)] for i in rng.permutation(len(ACTIONS))[:2])
    acts: tuple[Act | None, ...] = (None,) * len(camera)
    if object_moves:
        acts = plan_acts(rng, scenario, order, (one, other), lengths, camera, returns=returns)
    change = draw_change(rng, order[0], things[order[0]], lengths) if scenario == "change" else None
    return ClipSpec(
        seed=seed,
        split=split,
        kind=kind,
        scenario=scenario,
        style=style,
        asked=asked,
        lengths=lengths,
        things=things if returns else _shift_start(things, acts),
        acts=acts,
        camera=camera,
        camera_motion=camera_motion,
        counted=one if scenario == "repeats" else "",
        change=change,
        returns=returns,
        background=_draw_background(rng, photograph),
        encoding=_draw_encoding(rng, split, rate, constant_qp=returns),
    )


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def _draw_style(rng: np.random.Generator, kind: Kind, scenario: Scenario, *, returns: bool) -> Style:
    if kind in ("mover", "place"):
        return "mover" if kind == "mover" else "place"
    if kind in ("object", "position") or scenario not in _STYLED:
        return "named"
    styles: tuple[Style, ...] = ("named", "mover", "place") if returns else ("named", "mover")
    return _pick(rng, styles)


def _draw_asked(
    rng: np.random.Generator, kind: Kind, scenario: Scenario, style: Style, *, object_moves: bool
) -> tuple[Kind, ...]:
    motion: list[Kind] = list(_ASKABLE[scenario])
    if scenario == "camera" and object_moves:
        motion += ["direction", "count"]
    if style == "mover":
        motion.append("mover")
    elif style == "place":
        motion.append("place")
    static: list[Kind] = ["colour", "number", "scene"]
    # Where the options name what is there, asking what is there, or where, would be answered by them.
    if style != "mover" and scenario not in ("two things", "change"):
        static.append("object" if kind == "object" or (kind != "position" and rng.random() < 0.5) else "position")
    wanted = max(3 - len(motion), int(rng.integers(1, len(static) + 1)))
    chosen = [static[i] for i in rng.permutation(len(static))[:wanted]]
    if kind in static and kind not in chosen:
        chosen[0] = kind
    asked = motion + chosen
    return tuple(asked[i] for i in rng.permutation(len(asked)))


def _draw_lengths(rng: np.random.Generator, split: Split) -> tuple[int, tuple[int, ...]]:
    """Pictures a second, and pictures in each interval: 4 to 120 seconds, in training mostly below 8."""
    most = 120.0 if split == "eval" else 60.0 if rng.random() < _LONG_SHARE else 8.0
    least = 4.0 if split == "eval" else 2.0
    seconds = float(np.exp(rng.uniform(np.log(least), np.log(most))))
    rate = _pick(rng, (25, 25, 12, 15, 24, 30, 50) if seconds < 12 else (8, 10, 12, 15))
    length = int(np.clip(round(seconds * rate / NUM_INTERVALS), 6, _MOST_PICTURES // NUM_INTERVALS))
    if length < 7 or rng.random() < 0.5:
        return rate, (length,) * NUM_INTERVALS
    # Neighbours trade a picture, so that anchors stay within one picture of their even places.
    lengths = [length] * NUM_INTERVALS
    for left in range(0, NUM_INTERVALS, 2):
        trade = int(rng.integers(-1, 2))
        lengths[left] += trade
        lengths[left + 1] -= trade
    return rate, tuple(lengths)


def _names_to_draw(split: Split, photograph: str) -> tuple[str, ...]:
    names = EMOJI if split == "train" else HELD_OUT_EMOJI
    return tuple(name for name in names if name not in PHOTOGRAPHS[split][photograph].names)


def _draw_names(
    rng: np.random.Generator, count: int, main: int, emoji: Sequence[str], shapes: Sequence[str], scenario: Scenario
) -> list[str]:
    """Names of the things: a quarter are shapes, but for one that rests; what changes in a clip's state is one."""
    names = [emoji[i] for i in rng.permutation(len(emoji))[:count]]
    painted = [f"{colour} {shape}" for colour in COLOURS for shape in shapes]
    order = rng.permutation(len(painted))
    drawn = rng.random(count) < 0.25
    if drawn.all() or (count > 1 and drawn[np.arange(count) != main].all()):
        drawn[:] = False
    if scenario in ("acts", "repeats", "action pair"):
        # A circle that spins looks as one that rests.
        drawn[main] = False
    if scenario == "change":
        drawn[main] = True
    return [painted[order[index]] if drawn[index] else names[index] for index in range(count)]


def _place_things(rng: np.random.Generator, names: Sequence[str]) -> tuple[Thing, ...]:
    places = rng.permutation(4)
    things = []
    for name, place in zip(names, places, strict=False):
        x, y = SIZE * (0.24 + 0.52 * (place % 2)), SIZE * (0.24 + 0.52 * (place // 2))
        x, y = x + rng.uniform(-6, 6), y + rng.uniform(-6, 6)
        things.append(_thing(name, int(rng.integers(36, 51)), float(x), float(y), int(place)))
    return tuple(things)


def _small_shapes(rng: np.random.Generator, counted: str, single: str) -> tuple[Thing, ...]:
    """One to four alike, to be counted, and a single other one, whose colour is asked; in the gaps between places.

    Their shapes differ from those of the clip's larger things; their colours are drawn independently.
    """
    gaps = [(0.5, 0.14), (0.5, 0.86), (0.14, 0.5), (0.86, 0.5), (0.5, 0.5)]
    order = rng.permutation(len(gaps))
    number = int(rng.integers(1, 5))
    colours = (_pick(rng, tuple(COLOURS)), _pick(rng, tuple(COLOURS)))
    things = []
    for index in range(number + 1):
        shape, colour = (counted, colours[0]) if index < number else (single, colours[1])
        x, y = (SIZE * share + rng.uniform(-3, 3) for share in gaps[order[index]])
        things.append(_thing(f"{colour} {shape}", int(rng.integers(22, 29)), float(x), float(y), None))
    return tuple(things)


def _thing(name: str, size: int, x: float, y: float, place: int | None) -> Thing:
    emoji = " " not in name
    colour, shape = ("", "") if emoji else name.split(" ")
    return Thing(name=name, emoji=emoji, shape=shape, colour=colour, size=size, x=x, y=y, place=place)


def _shift_start(things: tuple[Thing, ...], acts: Sequence[Act | None]) -> tuple[Thing, ...]:
    """Start what drifts half its way back, so that it stays in the picture."""
    shifted = list(things)
    for act in acts:
        if act is not None:
            old = shifted[act.thing]
            x, y = old.x - act.dx * act.steps / 2, old.y - act.dy * act.steps / 2
            shifted[act.thing] = replace(old, x=x, y=y)
    return tuple(shifted)


def _draw_background(rng: np.random.Generator, photograph: str) -> Background:
    warm = rng.uniform(0.8, 1.15, 3) * rng.uniform(0.8, 1.1)
    return Background(
        photograph=photograph,
        x=float(rng.random()),
        y=float(rng.random()),
        scale=float(rng.uniform(0.45, 1.0)),
        flip=bool(rng.random() < 0.5),
        gains=(float(warm[0]), float(warm[1]), float(warm[2])),
    )


def _draw_encoding(rng: np.random.Generator, split: Split, rate: int, *, constant_qp: bool) -> Encoding:
    presets, levels = _ENCODINGS[split]
    return Encoding(
        preset=_pick(rng, presets),
        level=_pick(rng, levels),
        bframes=int(rng.integers(0, 4)),
        refs=int(rng.integers(1, 5)),
        b_pyramid=bool(rng.random() < 0.5),
        cabac=bool(rng.random() < 0.75),
        dct8x8=bool(rng.random() < 0.8),
        constant_qp=constant_qp,
        rate=rate,
        noise=float(rng.uniform(0.5, 2.0)) if rng.random() < 0.25 else 0.0,
    )
