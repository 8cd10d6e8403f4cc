"""What happens when in a clip: which thing acts, or how the camera moves, in each of its intervals."""

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np

from himmel.nano.catalogue import CAMERA_MOTIONS, CHANGES, COLOURS, COUNTS, DIRECTIONS, MOVES, PERIODS
from himmel.nano.clips import NUM_INTERVALS, Act, CameraMove, Change, Scenario, Thing

T = TypeVar("T")

# Intervals, out of eight, in which something may move.
_PERIOD_INTERVALS: Final = {PERIODS[0]: (0, 1), PERIODS[1]: (3, 4), PERIODS[2]: (6, 7)}
_LEAST_SHARE: Final = 0.35
"""Of an interval's pictures that an act takes, so that some of the sampled pictures show it."""
_FASTER: Final = 2.5
"""How many times as fast the faster one of two movements is."""
_RETURNING: Final = 26.0
"""Pixels that a thing goes at most before it is put back."""
MOST_MOVERS: Final = 3

# What one thing does in one interval: its index, the action, the direction if it moves, and its speed if that matters.
_Planned = tuple[int, str, str, float | None]


def plan_acts(
    rng: np.random.Generator,
    scenario: Scenario,
    order: Sequence[int],
    actions: tuple[str, str],
    lengths: Sequence[int],
    camera: Sequence[CameraMove | None],
    *,
    returns: bool,
) -> tuple[Act | None, ...]:
    """One act, or None, for each interval in which the camera rests.

    Args:
        rng: what to draw from.
        scenario: what happens.
        order: indices of the clip's things in random order; the first acts, others where the scenario has others.
        actions: two different ones; the first is what a thing does, the second what it does beside or after, in the
            scenarios about actions.
        lengths: pictures in each interval.
        camera: what the camera does in each.
        returns: whether all is back in its place at each anchor; else all ways together stay below 56 pixels.
    """
    free = [index for index in map(int, rng.permutation(NUM_INTERVALS)) if camera[index] is None]
    plan = _plan(rng, scenario, order, actions, free, lengths)
    longest = _RETURNING if returns else 56 / max(len(plan), 1)
    acts: list[Act | None] = [None] * NUM_INTERVALS
    for index, (thing, action, direction, speed) in plan.items():
        start, steps = _draw_span(rng, lengths[index], 3 if action == MOVES else 4)
        if action == MOVES:
            acts[index] = _move(rng, thing, direction, speed, start, steps, longest)
        else:
            acts[index] = _act(rng, thing, action, start, steps)
    return tuple(acts)


def plan_camera(
    rng: np.random.Generator, motion: str, lengths: Sequence[int], *, returns: bool
) -> tuple[CameraMove | None, ...]:
    """What the camera does in each interval: `motion` in two to four of them, nothing in the others."""
    camera: list[CameraMove | None] = [None] * NUM_INTERVALS
    if motion != "stays still":
        used = [int(i) for i in rng.permutation(NUM_INTERVALS)[: int(rng.integers(2, 5))]]
        for index in used:
            camera[index] = _draw_camera(rng, motion, lengths[index], 30 if returns else 60 / len(used))
    return tuple(camera)


def draw_change(rng: np.random.Generator, index: int, thing: Thing, lengths: Sequence[int]) -> Change | None:
    """A lasting change of a shape in one of the middle intervals; in one of four clips, none."""
    kind = _pick(rng, (*CHANGES, None))
    interval = int(rng.integers(2, NUM_INTERVALS - 2))
    start = int(rng.integers(0, lengths[interval] - 1))
    colour = _pick(rng, tuple(colour for colour in COLOURS if colour != thing.colour))
    if kind is None:
        return None
    return Change(thing=index, kind=kind, colour=colour if kind == "turns" else "", interval=interval, start=start)


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def _plan(
    rng: np.random.Generator,
    scenario: Scenario,
    order: Sequence[int],
    actions: tuple[str, str],
    free: Sequence[int],
    lengths: Sequence[int],
) -> dict[int, _Planned]:
    main = order[0]
    directions = tuple(DIRECTIONS)
    first_way, other_way = (directions[i] for i in rng.permutation(4)[:2])
    moves: _Planned = (main, MOVES, first_way, None)
    one, other = actions
    first: _Planned = (main, one, first_way if one == MOVES else "", None)
    second: _Planned = (main, other, other_way if other == MOVES else "", None)
    match scenario:
        case "period":
            return dict.fromkeys(_draw_period(rng), moves)
        case "two ways":
            return _in_turn(rng, free, moves, (main, MOVES, other_way, None))
        case "two things":
            return _in_turn(rng, free, moves, (order[1], MOVES, _pick(rng, directions), None))
        case "speeds":
            return _two_speeds(rng, main, free, lengths)
        case "several":
            return _several(rng, order, free)
        case "acts":
            return dict.fromkeys(free[: int(rng.integers(2, 5))], first)
        case "action pair":
            return _in_turn(rng, free, first, second)
        case "repeats":
            times, distracting = int(rng.integers(1, len(COUNTS) + 1)), int(rng.integers(0, 3))
            plan = dict.fromkeys(free[:times], first)
            return plan | dict.fromkeys(free[times : times + distracting], second)
        case "change":
            return {}
    return dict.fromkeys(free[: int(rng.integers(1, len(COUNTS) + 1))], moves)


def _in_turn(rng: np.random.Generator, free: Sequence[int], first: _Planned, second: _Planned) -> dict[int, _Planned]:
    """One or two times each, all of the first before all of the second."""
    early, late = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    used = sorted(free[: early + late])
    return {index: first if place < early else second for place, index in enumerate(used)}


def _two_speeds(
    rng: np.random.Generator, main: int, free: Sequence[int], lengths: Sequence[int]
) -> dict[int, _Planned]:
    """Two movements, the first faster, the second faster or both alike; or a single one."""
    # So slow that the faster one, too, goes on for some of the sampled pictures.
    top = _RETURNING / max(4.0, _LEAST_SHARE * max(lengths))
    fast = min(float(rng.uniform(2.2, 4.5)), top * float(rng.uniform(0.7, 1.0)))
    slow, middle = fast / _FASTER, fast / np.sqrt(_FASTER)
    speeds = _pick(rng, ((fast, slow), (slow, fast), (middle, middle), (middle,)))
    used = sorted(free[: len(speeds)])
    ways = tuple(DIRECTIONS)
    return {index: (main, MOVES, _pick(rng, ways), float(speed)) for index, speed in zip(used, speeds, strict=True)}


def _several(rng: np.random.Generator, order: Sequence[int], free: Sequence[int]) -> dict[int, _Planned]:
    """None to three different things move, together two to five times; a single one as often as three."""
    movers = int(rng.integers(0, MOST_MOVERS + 1))
    if movers == 0:
        return {}
    times = int(rng.integers(max(movers, 2), 6))
    ways = tuple(DIRECTIONS)
    return {index: (order[place % movers], MOVES, _pick(rng, ways), None) for place, index in enumerate(free[:times])}


def _draw_period(rng: np.random.Generator) -> tuple[int, ...]:
    period = _pick(rng, PERIODS)
    if period not in _PERIOD_INTERVALS:
        return tuple(sorted(int(i) for i in rng.permutation(NUM_INTERVALS)[: int(rng.integers(6, 9))]))
    intervals = _PERIOD_INTERVALS[period]
    return intervals if rng.random() < 0.5 else (_pick(rng, intervals),)


def _draw_span(rng: np.random.Generator, length: int, least: int) -> tuple[int, int]:
    """When within an interval: start and number of steps, at least `least` of the `length - 1`."""
    steps = int(rng.integers(max(least, int(np.ceil(_LEAST_SHARE * (length - 1)))), length))
    return int(rng.integers(0, length - steps)), steps


def _move(
    rng: np.random.Generator,
    thing: int,
    direction: str,
    speed: float | None,
    start: int,
    steps: int,
    longest: float,
) -> Act:
    if speed is not None:
        # A given speed is kept by stopping earlier.
        steps = max(min(steps, int(longest / speed)), 1)
    else:
        speed = min(rng.uniform(1.6, 5.0), longest / steps)
    angle = rng.uniform(-0.2, 0.2)
    x, y = DIRECTIONS[direction]
    dx, dy = speed * (x * np.cos(angle) - y * np.sin(angle)), speed * (x * np.sin(angle) + y * np.cos(angle))
    return Act(
        thing=thing,
        action=MOVES,
        direction=direction,
        dx=float(dx),
        dy=float(dy),
        extent=0.0,
        cycles=1,
        start=start,
        steps=steps,
    )


def _act(rng: np.random.Generator, thing: int, action: str, start: int, steps: int) -> Act:
    extents = {
        "shakes": rng.uniform(5, 10),
        "jumps": rng.uniform(10, 20),
        "spins": _pick(rng, (-1, 1)) * min(rng.uniform(60, 240), 25 * steps),
        "grows": min(rng.uniform(0.35, 0.6), 0.08 * steps),
        "vanishes": 0.0,
    }
    cycles = int(rng.integers(1, min(steps // 4, 3) + 1)) if action in ("shakes", "jumps") else 1
    return Act(
        thing=thing,
        action=action,
        direction="",
        dx=0.0,
        dy=0.0,
        extent=float(extents[action]),
        cycles=cycles,
        start=start,
        steps=steps,
    )


def _draw_camera(rng: np.random.Generator, motion: str, length: int, longest: float) -> CameraMove:
    start, steps = _draw_span(rng, length, 3)
    x, y, growth = CAMERA_MOTIONS[motion]
    speed = min(rng.uniform(1.0, 4.0), longest / steps)
    rate = min(rng.uniform(0.015, 0.045), longest / 100 / steps)
    return CameraMove(dx=float(x * speed), dy=float(y * speed), growth=float(growth * rate), start=start, steps=steps)
