"""How questions about rendered clips are put, and how their options are worded; those kept for evaluation come last."""

from typing import Final

from himmel.nano.catalogue import (
    ACTIONS,
    CAMERA_MOTIONS,
    CHANGES,
    COUNTS,
    DIRECTIONS,
    MOVES,
    NUMBERS,
    PERIODS,
    PLACES,
)
from himmel.nano.kinds import Kind

# `{it}` is what acts: its name, or "the moving thing" where the name would give another answer away.
QUESTIONS: Final[dict[Kind, tuple[str, ...]]] = {
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
    "first": (
        "Which of these moves first?",
        "What is the first thing to move?",
        "Two things move, one after the other: which moves first?",
        "Which thing starts to move first?",
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
    "speed": (
        "{It} may move twice: which movement is faster?",
        "Which movement of {it} is the faster one?",
        "Compare the movements of {it}: which is faster?",
    ),
    "moving count": (
        "How many things move?",
        "How many different things move in the video?",
        "Count the things that move.",
        "What is the number of moving things?",
    ),
    "action": (
        "What does {it} do?",
        "What is {it} doing?",
        "Which of these does {it} do?",
        "What happens to {it}?",
    ),
    "action count": (
        "How often does {it} {do}?",
        "How many times does {it} {do}?",
        "Count: how many times does {it} {do}?",
    ),
    "action order": (
        "What does {it} do first, and what then?",
        "{It} does two things: in which order?",
        "In which order does {it} do this?",
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
    "scene": (
        "What is in the background?",
        "What does the background show?",
        "Which of these is behind everything else?",
        "What is the picture about?",
        "What can be seen in the picture?",
    ),
    "position": (
        "Where is the {thing}?",
        "In which corner is the {thing}?",
        "Which part of the picture is the {thing} in?",
    ),
    "state": (
        "What changes for good?",
        "What is different at the end?",
        "Compare the beginning with the end: what has changed?",
    ),
}

DO: Final = dict(zip(ACTIONS, ("move", "shake", "jump", "spin", "grow", "vanish"), strict=True))
"""An action's verb after "does"."""

SPEEDS: Final = ("the first", "the second", "both alike", "there is one only")
MOVING: Final = ("none", "one", "two", "three")
STATES: Final = (*CHANGES, "")

_DIRECTIONS: Final = (
    tuple(DIRECTIONS),
    ("to the left", "to the right", "upwards", "downwards"),
    ("it goes left", "it goes right", "it goes up", "it goes down"),
    ("towards the left", "towards the right", "towards the top", "towards the bottom"),
)
_PLACES: Final = (
    PLACES,
    ("in the top left", "in the top right", "in the bottom left", "in the bottom right"),
    ("upper left", "upper right", "lower left", "lower right"),
    ("the corner at the top left", "the corner at the top right", "the corner at the bottom left",
     "the corner at the bottom right"),
)  # fmt: skip

# Ways to say a kind's answers, each in the order of its canonical ones; the last is kept for evaluation.
OPTIONS: Final[dict[Kind, tuple[tuple[str, ...], ...]]] = {
    "direction": _DIRECTIONS,
    "camera": (
        tuple(CAMERA_MOTIONS),
        tuple(f"it {motion}" for motion in CAMERA_MOTIONS),
        tuple(f"the camera {motion}" for motion in CAMERA_MOTIONS),
        ("it turns left", "it turns right", "it turns up", "it turns down", "it goes closer", "it goes further away",
         "it does not move"),
    ),
    "count": (
        COUNTS,
        ("one time", "two times", "three times", "four times"),
        ("1 time", "2 times", "3 times", "4 times"),
    ),
    "when": (
        PERIODS,
        ("in the beginning", "halfway through", "in the end", "throughout"),
        ("early", "in the middle part", "late", "always"),
        ("near the start", "around the middle", "near the finish", "the whole time"),
    ),
    "place": _PLACES,
    "position": _PLACES,
    "speed": (
        SPEEDS,
        ("the first movement", "the second movement", "both are the same", "it moves once only"),
        ("the earlier one", "the later one", "they are equally fast", "there is a single movement"),
    ),
    "moving count": (MOVING, ("nothing", "one thing", "two things", "three things"), ("0", "1", "2", "3")),
    "action": (
        ACTIONS,
        tuple(f"it {action}" for action in ACTIONS),
        ("it goes somewhere", "it wobbles", "it hops", "it turns round", "it gets larger", "it is gone for a while"),
    ),
    "number": (NUMBERS, ("just one", "two of them", "three of them", "four of them"), ("1", "2", "3", "4")),
    "state": (
        ("a shape appears", "a shape disappears", "a shape turns another colour", "nothing changes"),
        ("something has come", "something has gone", "something has another colour", "it is all the same"),
        ("one thing more is there", "one thing is missing", "the colour of a thing", "nothing is different"),
    ),
}  # fmt: skip
OPTIONS["action count"] = OPTIONS["count"]

assert all(len({len(way) for way in ways}) == 1 for ways in OPTIONS.values())
assert MOVES in DO
