"""Multiple-choice questions about a rendered clip, from templates, with exact answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np

from himmel.nano.catalogue import (
    CAMERA_MOTIONS,
    COLOURS,
    COUNTS,
    DIRECTIONS,
    EMOJI,
    NUMBERS,
    PERIODS,
    PHOTOGRAPHS,
    PLACES,
)
from himmel.nano.clips import MOTION_KINDS, ClipSpec, Kind, Move, Thing

# `{it}` is what moves: its name, or "the moving thing" where the name would give another answer away.
_TEMPLATES: Final[dict[Kind, tuple[str, ...]]] = {
    "direction": (
        "Which way does {it} move?",
        "In which direction does {it} go?",
        "Where does {it} move to: which direction?",
        "In what direction is {it} moving?",
        "Which way is {it} going?",
    ),
    "camera": (
        "What does the camera do?",
        "How does the camera move?",
        "What is the camera's motion?",
        "Describe the motion of the camera.",
        "Which camera movement is it?",
    ),
    "count": (
        "How often does {it} move?",
        "How many times does {it} move?",
        "How many times is {it} seen to move?",
        "Count the movements of {it}: how many times does it move?",
        "How often is {it} moving?",
    ),
    "mover": (
        "What moves?",
        "Which thing moves?",
        "Which of these is moving?",
        "What is it that moves in the video?",
        "Which of the things in the video moves?",
    ),
    "order": (
        "In which order does {it} move?",
        "Which way does {it} move first, and which way then?",
        "{It} moves two ways: which comes first, which second?",
        "First one way, then another: how does {it} move?",
    ),
    "when": (
        "When does {it} move?",
        "At what time does {it} move?",
        "In which part of the video does {it} move?",
        "When is {it} in motion?",
    ),
    "place": (
        "Where is the movement?",
        "In which corner does something move?",
        "Where in the picture does something move?",
        "Which part of the picture moves?",
    ),
    "object": (
        "Which of these is in the video?",
        "What can be seen in the video?",
        "Which of these things does the video show?",
        "What is there in the video?",
    ),
    "colour": (
        "What colour is the {shape}?",
        "Which colour does the {shape} have?",
        "The {shape} is of which colour?",
        "What is the colour of the {shape}?",
    ),
    "number": (
        "How many {shape}s are there?",
        "How many {shape}s can be seen?",
        "What is the number of {shape}s in the video?",
        "Count the {shape}s: how many are there?",
    ),
}
_FIRST_MOVER: Final = (
    "Which of these moves first?",
    "What is the first thing to move?",
    "Two things move, one after the other: which moves first?",
    "Which thing starts to move first?",
)


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
    """The questions of a clip, three to six of different kinds, in the order of `spec.asked`; the same each time.

    They may be read in one conversation: none gives another's answer away by its wording or its options.
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
    right, wrong = _answer(rng, spec, kind)
    options = [right, *wrong]
    order = rng.permutation(4)
    a, b, c, d = (options[i] for i in order)
    text = _wording(rng, spec, kind)
    return Question(kind=kind, text=text, choices=(a, b, c, d), answer=int(np.argmin(order)))


def _wording(rng: np.random.Generator, spec: ClipSpec, kind: Kind) -> str:
    templates = _FIRST_MOVER if kind == "order" and spec.scenario == "two things" else _TEMPLATES[kind]
    template = templates[int(rng.integers(len(templates)))]
    if kind in ("colour", "number"):
        return template.format(shape=_small(spec, kind).shape)
    if "{it}" not in template.lower():
        return template
    it = f"the {spec.things[_moves(spec)[0].thing].name}" if spec.style == "named" else "the moving thing"
    return template.format(it=it, It=it.capitalize())


def _answer(rng: np.random.Generator, spec: ClipSpec, kind: Kind) -> tuple[str, list[str]]:
    """The right option and three wrong ones."""
    moves = _moves(spec)
    if kind == "direction":
        return _among(rng, moves[0].direction, tuple(DIRECTIONS))
    if kind == "camera":
        return _among(rng, spec.camera_motion, tuple(CAMERA_MOTIONS))
    if kind == "count":
        return _among(rng, COUNTS[len(moves) - 1], COUNTS)
    if kind == "mover":
        return _among(rng, f"the {spec.things[moves[0].thing].name}", _present(spec))
    if kind == "order":
        return _order_answer(rng, spec)
    if kind == "when":
        return _among(rng, _period(spec), PERIODS)
    if kind == "place":
        place = spec.things[moves[0].thing].place
        return _among(rng, PLACES[place or 0], PLACES)
    if kind == "object":
        return _object_answer(rng, spec)
    if kind == "colour":
        return _among(rng, _small(spec, kind).colour, tuple(COLOURS))
    counted = _small(spec, "number").name
    return _among(rng, NUMBERS[sum(t.place is None and t.name == counted for t in spec.things) - 1], NUMBERS)


def _order_answer(rng: np.random.Generator, spec: ClipSpec) -> tuple[str, list[str]]:
    moves = _moves(spec)
    if spec.scenario == "two things":
        return _among(rng, f"the {spec.things[moves[0].thing].name}", _present(spec))
    pair = (moves[0].direction, moves[-1].direction)
    # Another pair comes in both orders too: an option whose reverse is missing would be known to be wrong.
    others = [p for p in permutations(DIRECTIONS, 2) if set(p) != set(pair)]
    other = others[int(rng.integers(len(others)))]
    return _then(pair), [_then(pair[::-1]), _then(other), _then(other[::-1])]


def _then(pair: tuple[str, str]) -> str:
    return f"{pair[0]}, then {pair[1]}"


def _object_answer(rng: np.random.Generator, spec: ClipSpec) -> tuple[str, list[str]]:
    moving = {move.thing for move in spec.moves if move is not None}
    # What moves is named in other questions, and names kept for evaluation are never the answer.
    resting = [t.name for i, t in enumerate(spec.things) if t.emoji and (i not in moving or spec.style == "place")]
    candidates = [name for name in resting if name in EMOJI]
    right = candidates[int(rng.integers(len(candidates)))]
    drawn = {thing.name for thing in spec.things}
    shown = PHOTOGRAPHS[spec.split][spec.background.photograph]
    absent = [name for name in EMOJI if name not in drawn and name not in shown]
    return f"the {right}", [f"the {absent[i]}" for i in rng.permutation(len(absent))[:3]]


def _period(spec: ClipSpec) -> str:
    used = [index for index, move in enumerate(spec.moves) if move is not None]
    if len(used) > 2:
        return PERIODS[3]
    return PERIODS[used[0] * 3 // len(spec.moves)]


def _present(spec: ClipSpec) -> tuple[str, ...]:
    return tuple(f"the {thing.name}" for thing in spec.things if thing.place is not None)


def _small(spec: ClipSpec, kind: Kind) -> Thing:
    """Of the small shapes, one that is counted, or the single one whose colour is asked, which comes last."""
    small = [thing for thing in spec.things if thing.place is None]
    return small[0] if kind == "number" else small[-1]


def _moves(spec: ClipSpec) -> list[Move]:
    return [move for move in spec.moves if move is not None]


def _among(rng: np.random.Generator, right: str, options: Sequence[str]) -> tuple[str, list[str]]:
    wrong = [option for option in options if option != right]
    return right, [wrong[i] for i in rng.permutation(len(wrong))[:3]]
