"""Drawing a clip's specification from a seed, so that only the motion gives the answers to motion questions.

Three habits keep other roads shut. What is asked about is drawn first and evenly. Homes, backgrounds and encodings are
drawn without looking at it. And the questions of one clip are chosen so that no question's wording or options answer
another, as several may be read in one conversation.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from himmel.errors import UsageError
from himmel.nano.catalogue import (
    CAMERA_MOTIONS,
    COLOURS,
    COUNTS,
    DIRECTIONS,
    EMOJI,
    HELD_OUT_EMOJI,
    PERIODS,
    PHOTOGRAPHS,
    SHAPES,
    Split,
)
from himmel.nano.clips import (
    FIRST_EVAL_SEED,
    KINDS,
    NUM_INTERVALS,
    SIZE,
    Background,
    CameraMove,
    ClipSpec,
    Encoding,
    Kind,
    Move,
    Scenario,
    Style,
    Thing,
)

T = TypeVar("T")

_SCENARIOS: dict[Kind, tuple[Scenario, ...]] = {
    "direction": ("moves", "moves", "period", "camera"),
    "camera": ("camera",),
    "count": ("moves", "moves", "moves", "camera"),
    "mover": ("moves", "period", "two ways"),
    "order": ("two ways", "two things"),
    "when": ("period",),
    "place": ("moves", "period", "two ways"),
    "object": ("moves", "period", "two ways", "camera"),
    "colour": ("moves", "period", "two ways", "two things", "camera"),
    "number": ("moves", "period", "two ways", "two things", "camera"),
}
_ASKABLE: dict[Scenario, tuple[Kind, ...]] = {
    "moves": ("direction", "count"),
    "period": ("direction", "when"),
    "two ways": ("order",),
    "two things": ("order",),
    "camera": ("camera",),
}
# Intervals, out of eight, in which something may move.
_PERIOD_INTERVALS = {PERIODS[0]: (0, 1), PERIODS[1]: (3, 4), PERIODS[2]: (6, 7)}
_DRIFT_SHARE = 0.25


def draw_spec(seed: int, split: Split = "train", kind: Kind | None = None, *, returns: bool | None = None) -> ClipSpec:
    """Draw a clip; the same arguments give the same clip on every machine.

    Args:
        seed: 0 to 9,999,999 for training, from 10,000,000 for evaluation.
        split: "train" or "eval", which use other photographs and partly other emoji.
        kind: a kind of question that the clip must answer; None draws one evenly.
        returns: whether all is back in its place at each anchor; None: always in evaluation, in three of four training
            clips. Kind "place" exists only where it is.

    Raises:
        UsageError: the seed belongs to the other split, or there is no such kind.
    """
    if seed < 0 or (seed >= FIRST_EVAL_SEED) != (split == "eval"):
        raise UsageError(
            f"Seed {seed} is not one of split {split!r}; take 0 to {FIRST_EVAL_SEED - 1} for training "
            f"and {FIRST_EVAL_SEED} or more for evaluation."
        )
    if kind is not None and kind not in KINDS:
        raise UsageError(f"There is no question kind {kind!r}; choose one of {', '.join(KINDS)}.")
    if kind == "place" and returns is False:
        raise UsageError(
            "A clip of kind 'place' always returns, because something that drifts is not in one place; leave "
            "`returns` out."
        )
    rng = np.random.default_rng([seed])
    drawn = _pick(rng, KINDS)
    kind = drawn if kind is None else kind
    drifts = split == "train" and rng.random() < _DRIFT_SHARE
    return _draw(rng, seed, split, kind, (kind == "place" or not drifts) if returns is None else returns)


def _draw(rng: np.random.Generator, seed: int, split: Split, kind: Kind, returns: bool) -> ClipSpec:
    scenario = _pick(rng, _SCENARIOS[kind])
    style = _draw_style(rng, kind, scenario, returns)
    photograph = _pick(rng, tuple(PHOTOGRAPHS[split]))
    lengths = _draw_lengths(rng)
    moving_camera = _pick(rng, tuple(CAMERA_MOTIONS)) if scenario == "camera" else "stays still"
    object_moves = scenario != "camera" or kind in ("direction", "count") or rng.random() < 0.5
    everything = style != "named" or scenario == "two things"
    asked = _draw_asked(rng, kind, scenario, style, object_moves)
    main, second = _draw_movers(rng, count := 4 if everything else int(rng.integers(2, 5)))
    hidden = split == "eval" and style == "named" and scenario != "two things" and rng.random() < 0.5
    shapes = [SHAPES[i] for i in rng.permutation(len(SHAPES))]
    names = _draw_names(rng, count, main, _names_to_draw(split, photograph), shapes[:2])
    if hidden:
        names[main] = _pick(rng, tuple(HELD_OUT_EMOJI))
    things = (*_place_things(rng, names), *_small_shapes(rng, shapes[2], shapes[3]))
    moves, camera = _draw_story(rng, scenario, moving_camera, object_moves, (main, second), lengths, returns)
    return ClipSpec(
        seed=seed,
        split=split,
        kind=kind,
        scenario=scenario,
        style=style,
        asked=asked,
        lengths=lengths,
        things=_shift_start(things, moves, lengths) if not returns else things,
        moves=moves,
        camera=camera,
        camera_motion=moving_camera,
        returns=returns,
        background=_draw_background(rng, photograph),
        encoding=_draw_encoding(rng, constant_qp=returns),
    )


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def _draw_style(rng: np.random.Generator, kind: Kind, scenario: Scenario, returns: bool) -> Style:
    if kind in ("mover", "place"):
        return "mover" if kind == "mover" else "place"
    if kind == "object" or scenario in ("two things", "camera"):
        return "named"
    styles: tuple[Style, ...] = ("named", "mover", "place") if returns else ("named", "mover")
    return _pick(rng, styles)


def _draw_asked(
    rng: np.random.Generator, kind: Kind, scenario: Scenario, style: Style, object_moves: bool
) -> tuple[Kind, ...]:
    motion: list[Kind] = list(_ASKABLE[scenario])
    if scenario == "camera" and object_moves:
        motion += ["direction", "count"]
    if style == "mover":
        motion.append("mover")
    elif style == "place":
        motion.append("place")
    # Where the options name what is there, asking what is there would be answered by them.
    static: list[Kind] = ["colour", "number"] if style == "mover" or scenario == "two things" else []
    static = static or ["object", "colour", "number"]
    wanted = max(3 - len(motion), int(rng.integers(1, len(static) + 1)))
    chosen = [static[i] for i in rng.permutation(len(static))[:wanted]]
    if kind in static and kind not in chosen:
        chosen[0] = kind
    asked = motion + chosen
    return tuple(asked[i] for i in rng.permutation(len(asked)))


def _draw_lengths(rng: np.random.Generator) -> tuple[int, ...]:
    length = int(rng.integers(6, 11))
    if rng.random() < 0.5:
        return (length,) * NUM_INTERVALS
    # Neighbours trade a picture, so that anchors stay within one picture of their even places.
    lengths = [min(max(length, 7), 9)] * NUM_INTERVALS
    for left in range(0, NUM_INTERVALS, 2):
        trade = int(rng.integers(-1, 2))
        lengths[left] += trade
        lengths[left + 1] -= trade
    return tuple(lengths)


def _draw_movers(rng: np.random.Generator, count: int) -> tuple[int, int]:
    first, second = rng.permutation(count)[:2]
    return int(first), int(second)


def _names_to_draw(split: Split, photograph: str) -> tuple[str, ...]:
    return tuple(name for name in EMOJI if name not in PHOTOGRAPHS[split][photograph])


def _draw_names(
    rng: np.random.Generator, count: int, main: int, emoji: Sequence[str], shapes: Sequence[str]
) -> list[str]:
    names = [emoji[i] for i in rng.permutation(len(emoji))[:count]]
    painted = [f"{colour} {shape}" for colour in COLOURS for shape in shapes]
    order = rng.permutation(len(painted))
    for index in range(count):
        # At least one emoji stays that isn't the mover, for questions about what is there.
        if rng.random() < 0.25 and index != (main + 1) % count:
            names[index] = painted[order[index]]
    return names


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


def _draw_story(
    rng: np.random.Generator,
    scenario: Scenario,
    camera_motion: str,
    object_moves: bool,
    movers: tuple[int, int],
    lengths: Sequence[int],
    returns: bool,
) -> tuple[tuple[Move | None, ...], tuple[CameraMove | None, ...]]:
    moves: list[Move | None] = [None] * NUM_INTERVALS
    camera: list[CameraMove | None] = [None] * NUM_INTERVALS
    free = [int(i) for i in rng.permutation(NUM_INTERVALS)]
    if scenario == "camera":
        used = [free.pop() for _ in range(int(rng.integers(2, 5)))]
        if camera_motion != "stays still":
            for index in used:
                camera[index] = _draw_camera(rng, camera_motion, lengths[index], 30 if returns else 60 / len(used))
    if object_moves:
        plan = _plan(rng, scenario, movers, free)
        for index, (thing, direction) in plan.items():
            moves[index] = _draw_move(rng, thing, direction, lengths[index], 26 if returns else 56 / len(plan))
    return tuple(moves), tuple(camera)


def _plan(
    rng: np.random.Generator, scenario: Scenario, movers: tuple[int, int], free: list[int]
) -> dict[int, tuple[int, str]]:
    """Which thing moves which way in which interval."""
    main, second = movers
    first_way, other_way = (tuple(DIRECTIONS)[i] for i in rng.permutation(4)[:2])
    if scenario == "period":
        return dict.fromkeys(_draw_period(rng), (main, first_way))
    if scenario in ("two ways", "two things"):
        # One or two moves each, all of the first before all of the second.
        early, late = int(rng.integers(1, 3)), int(rng.integers(1, 3))
        order = sorted(free[: early + late])
        later = (main, other_way) if scenario == "two ways" else (second, _pick(rng, tuple(DIRECTIONS)))
        return {index: (main, first_way) if place < early else later for place, index in enumerate(order)}
    return dict.fromkeys(free[: int(rng.integers(1, len(COUNTS) + 1))], (main, first_way))


def _draw_period(rng: np.random.Generator) -> tuple[int, ...]:
    period = _pick(rng, PERIODS)
    if period not in _PERIOD_INTERVALS:
        return tuple(sorted(int(i) for i in rng.permutation(NUM_INTERVALS)[: int(rng.integers(6, 9))]))
    intervals = _PERIOD_INTERVALS[period]
    return intervals if rng.random() < 0.5 else (_pick(rng, intervals),)


def _draw_span(rng: np.random.Generator, length: int) -> tuple[int, int]:
    """When within an interval: start and number of steps, at least three of the `length - 1`."""
    steps = int(rng.integers(3, length))
    return int(rng.integers(0, length - steps)), steps


def _draw_move(rng: np.random.Generator, thing: int, direction: str, length: int, longest: float) -> Move:
    start, steps = _draw_span(rng, length)
    speed = min(rng.uniform(1.6, 5.0), longest / steps)
    angle = rng.uniform(-0.2, 0.2)
    x, y = DIRECTIONS[direction]
    dx, dy = speed * (x * np.cos(angle) - y * np.sin(angle)), speed * (x * np.sin(angle) + y * np.cos(angle))
    return Move(thing=thing, direction=direction, dx=float(dx), dy=float(dy), start=start, steps=steps)


def _draw_camera(rng: np.random.Generator, motion: str, length: int, longest: float) -> CameraMove:
    start, steps = _draw_span(rng, length)
    x, y, growth = CAMERA_MOTIONS[motion]
    speed = min(rng.uniform(1.0, 4.0), longest / steps)
    rate = min(rng.uniform(0.015, 0.045), longest / 100 / steps)
    return CameraMove(dx=float(x * speed), dy=float(y * speed), growth=float(growth * rate), start=start, steps=steps)


def _shift_start(things: tuple[Thing, ...], moves: Sequence[Move | None], lengths: Sequence[int]) -> tuple[Thing, ...]:
    """Start what drifts half its way back, so that it stays in the picture."""
    shifted = list(things)
    for move in moves:
        if move is not None:
            old = shifted[move.thing]
            x, y = old.x - move.dx * move.steps / 2, old.y - move.dy * move.steps / 2
            shifted[move.thing] = replace(old, x=x, y=y)
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


def _draw_encoding(rng: np.random.Generator, *, constant_qp: bool) -> Encoding:
    return Encoding(
        preset=_pick(rng, ("superfast", "veryfast", "veryfast", "veryfast", "faster", "fast", "medium")),
        level=int(rng.integers(20, 33)),
        bframes=int(rng.integers(0, 4)),
        refs=int(rng.integers(1, 5)),
        b_pyramid=bool(rng.random() < 0.5),
        cabac=bool(rng.random() < 0.75),
        dct8x8=bool(rng.random() < 0.8),
        constant_qp=constant_qp,
        rate=_pick(rng, (25, 25, 25, 12, 15, 24, 30, 50)),
        noise=float(rng.uniform(0.5, 2.0)) if rng.random() < 0.25 else 0.0,
    )
