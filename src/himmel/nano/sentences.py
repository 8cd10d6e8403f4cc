"""What a rendered clip is asked without options, and what is then said in whole sentences; for training alone."""

from typing import Final

import numpy as np

from himmel.nano.catalogue import COUNTS, EMOJI, MOVES, NUMBERS, PHOTOGRAPHS
from himmel.nano.clips import Act, ClipSpec

_DESCRIBE: Final = (
    "What happens in the video?",
    "Describe the video.",
    "What is going on here?",
    "Tell me what you see.",
    "What is this video about?",
)
_WHAT_MOVES: Final = ("Does anything move?", "What is moving?", "Is there any motion?", "Describe the motion.")
_IS_THERE: Final = ("Is there {name} in the video?", "Can you see {name}?", "Does the video show {name}?")
_UNKNOWABLE: Final = (
    "What does the person say?",
    "What music is played?",
    "What is the name of this place?",
    "Who made this video?",
    "What time is it in the video?",
    "How much does it cost?",
    "What will happen next?",
    "What is written on it?",
    "How old is it?",
    "Whose is it?",
)
_CANNOT_TELL: Final = "I can't tell from this video."
_MASS: Final = {
    "beer", "bread", "broccoli", "butter", "cheese", "chocolate", "corn", "fire", "garlic", "honey", "milk", "popcorn",
    "rice", "salad", "soap", "sushi",
}  # fmt: skip


def sentences(spec: ClipSpec) -> tuple[tuple[str, str], ...]:
    """Four questions of a training clip, each with its answer in sentences; the same each time.

    A description, the motion alone, whether something is there, and what no video of this kind can tell.
    """
    rng = np.random.default_rng([spec.seed, 3])
    motion = _motion(spec)
    name, there = _maybe_there(rng, spec)
    return (
        (_pick(rng, _DESCRIBE), f"{_still(spec)} {motion}"),
        (_pick(rng, _WHAT_MOVES), motion),
        (
            _pick(rng, _IS_THERE).format(name=_some(name)),
            f"Yes, there is {_some(name)}." if there else f"No, I see no {name}.",
        ),
        (_pick(rng, _UNKNOWABLE), _CANNOT_TELL),
    )


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _some(name: str) -> str:
    """A name with its article."""
    if name in _MASS:
        return f"some {name}"
    return f"an {name}" if name[0] in "aeiou" and not name.startswith("unicorn") else f"a {name}"


def _motion(spec: ClipSpec) -> str:
    said = [f"The {spec.things[thing].name} {what}." for thing, what in _deeds(spec).items()]
    if spec.camera_motion != "stays still":
        said.append(f"The camera {spec.camera_motion}.")
    if spec.change is not None:
        turns = f"turns {spec.change.colour}" if spec.change.kind == "turns" else spec.change.kind
        said.append(f"The {spec.things[spec.change.thing].name} {turns}.")
    return " ".join(said) or "Nothing moves."


def _deeds(spec: ClipSpec) -> dict[int, str]:
    """What each thing does, in the order in which things begin: "moves left twice and jumps once"."""
    counted: dict[int, dict[str, int]] = {}
    for act in spec.acts:
        if act is not None:
            deeds = counted.setdefault(act.thing, {})
            deeds[_deed(act)] = deeds.get(_deed(act), 0) + 1
    return {
        thing: " and ".join(f"{deed} {_times(times)}" for deed, times in deeds.items())
        for thing, deeds in counted.items()
    }


def _deed(act: Act) -> str:
    return f"moves {act.direction}" if act.action == MOVES else act.action


def _times(times: int) -> str:
    return COUNTS[times - 1] if times <= len(COUNTS) else "again and again"


def _still(spec: ClipSpec) -> str:
    large = [_some(thing.name) for thing in spec.things if thing.place is not None]
    small = [thing for thing in spec.things if thing.place is None]
    number = len(small) - 1
    shapes = [f"{NUMBERS[number - 1]} {small[0].name}{'s' if number > 1 else ''}", _some(small[-1].name)]
    scene = PHOTOGRAPHS[spec.split][spec.background.photograph].scene
    return f"I see {', '.join(large + shapes[:1])} and {shapes[1]}; the background shows {scene}."


def _maybe_there(rng: np.random.Generator, spec: ClipSpec) -> tuple[str, bool]:
    drawn = [thing.name for thing in spec.things if thing.emoji]
    if drawn and rng.random() < 0.5:
        return drawn[int(rng.integers(len(drawn)))], True
    shown = PHOTOGRAPHS[spec.split][spec.background.photograph].names
    absent = [name for name in EMOJI if name not in drawn and name not in shown]
    return absent[int(rng.integers(len(absent)))], False
