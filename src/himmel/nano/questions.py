"""Multiple-choice questions about a rendered clip, from templates, with exact answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from himmel.nano.catalogue import (
    ACTIONS,
    CAMERA_MOTIONS,
    COLOURS,
    EMOJI,
    HELD_OUT_EMOJI,
    PERIODS,
    PHOTOGRAPHS,
)
from himmel.nano.clips import Act, ClipSpec, Thing, act_speed
from himmel.nano.kinds import MOTION_KINDS, Kind
from himmel.nano.wordings import DO, MOVING, OPTIONS, QUESTIONS, STATES


@dataclass(frozen=True)
class Question:
    """One question about a clip.

    Attributes:
        kind: what it asks about.
        text: the question, without the options.
        choices: four different options, in random order.
        answer: index of the right one.
    """

    kind: Kind
    text: str
    choices: tuple[str, str, str, str]
    answer: int


def questions(spec: ClipSpec) -> tuple[Question, ...]:
    """The questions of a clip, three to seven of different kinds, in the order of `spec.asked`; the same each time.

    They may be read in one conversation: none gives another's answer away by its wording or its options. The options of
    evaluation clips are worded in all ways of `OPTIONS`, those of training clips in all but the last.
    """
    rng = np.random.default_rng([spec.seed, 2])
    return tuple(_question(rng, spec, kind) for kind in spec.asked)


def choose_questions(asked: Sequence[Question], *, most: int) -> list[int]:
    """Which of a clip's questions are asked: motion questions first in turn with still ones, at most `most`."""
    moving = [i for i, question in enumerate(asked) if question.kind in MOTION_KINDS]
    still = [i for i, question in enumerate(asked) if question.kind not in MOTION_KINDS]
    chosen: list[int] = []
    while (moving or still) and len(chosen) < most:
        first, second = (moving, still) if len(chosen) % 2 == 0 else (still, moving)
        chosen.append((first or second).pop(0))
    return chosen


def _question(rng: np.random.Generator, spec: ClipSpec, kind: Kind) -> Question:
    thing = _placed(rng, spec) if kind == "position" else None
    right, wrong = _worded(rng, spec, kind, thing) if kind in OPTIONS else _named(rng, spec, kind)
    options = [right, *wrong]
    order = rng.permutation(4)
    a, b, c, d = (options[i] for i in order)
    return Question(kind=kind, text=_text(rng, spec, kind, thing), choices=(a, b, c, d), answer=int(np.argmin(order)))


def _text(rng: np.random.Generator, spec: ClipSpec, kind: Kind, thing: Thing | None) -> str:
    templates = QUESTIONS[kind]
    template = templates[int(rng.integers(len(templates)))]
    if kind in ("colour", "number"):
        return template.format(shape=_small(spec, kind).shape)
    if thing is not None:
        return template.format(thing=thing.name)
    if "{it}" not in template.lower():
        return template
    acts = _acts(spec)
    it = f"the {spec.things[acts[0].thing].name}" if spec.style == "named" else "the moving thing"
    return template.format(it=it, It=it.capitalize(), do=DO.get(spec.counted, ""))


def _worded(rng: np.random.Generator, spec: ClipSpec, kind: Kind, thing: Thing | None) -> tuple[str, list[str]]:
    """The right option and three wrong ones of a kind whose answers are always the same few."""
    ways = OPTIONS[kind]
    words = ways[int(rng.integers(len(ways) - (spec.split == "train")))]
    right = _answer(spec, kind, thing)
    wrong = [i for i in range(len(words)) if i != right]
    return words[right], [words[wrong[i]] for i in rng.permutation(len(wrong))[:3]]


def _answer(spec: ClipSpec, kind: Kind, thing: Thing | None) -> int:
    """Index of the right answer among the canonical ones, in the order of `OPTIONS`."""
    acts = _acts(spec)
    match kind:
        case "direction":
            return ("left", "right", "up", "down").index(acts[0].direction)
        case "camera":
            return tuple(CAMERA_MOTIONS).index(spec.camera_motion)
        case "count":
            return len(acts) - 1
        case "action count":
            return sum(act.action == spec.counted for act in acts) - 1
        case "when":
            return PERIODS.index(_period(spec))
        case "place":
            return spec.things[acts[0].thing].place or 0
        case "position":
            return 0 if thing is None else thing.place or 0
        case "speed":
            return _faster([act_speed(act) for act in acts])
        case "moving count":
            return min(len({act.thing for act in acts}), len(MOVING) - 1)
        case "action":
            return ACTIONS.index(acts[0].action)
        case "state":
            return STATES.index("" if spec.change is None else spec.change.kind)
        case _:
            return sum(t.place is None and t.name == _small(spec, "number").name for t in spec.things) - 1


def _faster(speeds: Sequence[float]) -> int:
    """Index into `SPEEDS`."""
    if len(speeds) == 1:
        return 3
    if np.isclose(speeds[0], speeds[1], rtol=0.05):
        return 2
    return 0 if speeds[0] > speeds[1] else 1


def _named(rng: np.random.Generator, spec: ClipSpec, kind: Kind) -> tuple[str, list[str]]:
    """The right option and three wrong ones of a kind whose answers depend on the clip."""
    acts = _acts(spec)
    match kind:
        case "mover" | "first":
            return _among(rng, f"the {spec.things[acts[0].thing].name}", _present(spec))
        case "order":
            return _pairs(rng, acts[0].direction, acts[-1].direction, ("left", "right", "up", "down"))
        case "action order":
            return _pairs(rng, acts[0].action, acts[-1].action, ACTIONS)
        case "colour":
            return _among(rng, _small(spec, kind).colour, tuple(COLOURS))
        case "scene":
            shown = PHOTOGRAPHS[spec.split][spec.background.photograph].scene
            return _among(rng, shown, tuple(photograph.scene for photograph in PHOTOGRAPHS[spec.split].values()))
        case _:
            return _object_answer(rng, spec)


def _pairs(rng: np.random.Generator, first: str, last: str, every: Sequence[str]) -> tuple[str, list[str]]:
    # Another pair comes in both orders too: an option whose reverse is missing would be known to be wrong.
    others = [p for p in permutations(every, 2) if set(p) != {first, last}]
    other = others[int(rng.integers(len(others)))]
    return _then((first, last)), [_then((last, first)), _then(other), _then(other[::-1])]


def _then(pair: tuple[str, ...]) -> str:
    return f"{pair[0]}, then {pair[1]}"


def _object_answer(rng: np.random.Generator, spec: ClipSpec) -> tuple[str, list[str]]:
    candidates = [thing.name for thing in _resting(spec)]
    right = candidates[int(rng.integers(len(candidates)))]
    drawn = {thing.name for thing in spec.things}
    shown = PHOTOGRAPHS[spec.split][spec.background.photograph].names
    absent = [name for name in _emoji_of(spec) if name not in drawn and name not in shown]
    return f"the {right}", [f"the {absent[i]}" for i in rng.permutation(len(absent))[:3]]


def _placed(rng: np.random.Generator, spec: ClipSpec) -> Thing:
    resting = _resting(spec)
    return resting[int(rng.integers(len(resting)))]


def _resting(spec: ClipSpec) -> list[Thing]:
    """Emoji that other questions don't name: what acts is named in them, unless it is asked where it is."""
    acting = {act.thing for act in _acts(spec)}
    things = [thing for thing in spec.things if thing.emoji]
    return [thing for thing in things if spec.things.index(thing) not in acting] or things


def _emoji_of(spec: ClipSpec) -> dict[str, str]:
    return EMOJI if spec.split == "train" else HELD_OUT_EMOJI


def _period(spec: ClipSpec) -> str:
    used = [index for index, act in enumerate(spec.acts) if act is not None]
    if len(used) > 2:
        return PERIODS[3]
    return PERIODS[used[0] * 3 // len(spec.acts)]


def _present(spec: ClipSpec) -> tuple[str, ...]:
    return tuple(f"the {thing.name}" for thing in spec.things if thing.place is not None)


def _small(spec: ClipSpec, kind: Kind) -> Thing:
    """Of the small shapes, one that is counted, or the single one whose colour is asked, which comes last."""
    small = [thing for thing in spec.things if thing.place is None]
    return small[0] if kind == "number" else small[-1]


def _acts(spec: ClipSpec) -> list[Act]:
    return [act for act in spec.acts if act is not None]


def _among(rng: np.random.Generator, right: str, options: Sequence[str]) -> tuple[str, list[str]]:
    wrong = [option for option in options if option != right]
    return right, [wrong[i] for i in rng.permutation(len(wrong))[:3]]
