"""Which way of scoring options finds the right one where options differ in length.

    python -m benchmarks.choice_scoring [--questions 30] [--precision float32] [--json FILE]

Three kinds of questions to nano, each asked with its options in four wordings: all short, all but the right one long,
the right one alone long, and two of each. `motion` asks about rendered clips (direction, camera, place), which nano
knows from its motion tokens; none of these clips was trained on or is asked about by `himmel nano bench`. `seen` asks
what a cut-out of `benchmarks.single_subjects` shows. `knowledge` asks things that a language model knows without
looking, beside the photographs that come with himmel. Each question is asked with the options listed in the prompt or
not, and answered by texts or by letters; each answer is scored in all ways of `himmel.model.scoring.weigh`. The table
shows per cent right (chance: 25). How `himmel ask` and `himmel eval` score with nano by default (`Host.scoring`) is
chosen by its last column: the mean over the wordings in which lengths differ, of the two kinds that only looking tells.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Final, Literal, get_args

import cv2
import numpy as np
import torch

from benchmarks.real_world import opened
from benchmarks.single_subjects import STAMPS, draw, offered, read_subjects
from himmel._files import atomic_path
from himmel._progress import track
from himmel._versions import versions
from himmel.choices import AnswerForm, Listing, Precision, Scoring
from himmel.evaluation.statistics import Accuracy, accuracy
from himmel.hosts import Loading
from himmel.methods.models import default_checkpoint
from himmel.methods.question import Question
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor, PreparedSample
from himmel.model.scoring import count_bytes, count_tokens, weigh
from himmel.nano.assets import get_photographs
from himmel.nano.catalogue import PHOTOGRAPHS
from himmel.nano.clips import FIRST_EVAL_SEED
from himmel.training.store import ClipStore

Wording = Literal["all short", "right short", "right long", "mixed"]
Kind = Literal["motion", "seen", "knowledge"]

WORDINGS: Final[tuple[Wording, ...]] = get_args(Wording)
UNEQUAL: Final[tuple[Wording, ...]] = ("right short", "right long", "mixed")
LOOKED_AT: Final[tuple[Kind, ...]] = ("motion", "seen")
FORMS: Final[tuple[tuple[Listing, AnswerForm], ...]] = (
    ("none", "text"),
    ("texts", "text"),
    ("letters", "text"),
    ("letters", "letter"),
)
FIRST_SEED: Final = FIRST_EVAL_SEED + 500_000
"""Far from the clips of the motion benchmark, whose scoring this must not be chosen by."""

_LONG: Final = {
    "direction": "it moves {} across the picture",
    "camera": "the camera {} in this video",
    "place": "in the {} corner of the picture",
}
_CUT_OUT: Final = ("What does this picture show?", "there is a {} in the middle of it")
# The right answer comes first.
_KNOWLEDGE: Final[tuple[tuple[str, tuple[str, str, str, str], str], ...]] = (
    ("What is the capital of France?", ("Paris", "Rome", "Madrid", "Berlin"), "the old and beautiful city of {}"),
    ("What is the capital of Italy?", ("Rome", "Paris", "London", "Vienna"), "the old and beautiful city of {}"),
    ("What is the capital of Japan?", ("Tokyo", "Beijing", "Seoul", "Bangkok"), "the large and busy city of {}"),
    ("What is the capital of England?", ("London", "Dublin", "Paris", "Oslo"), "the large and busy city of {}"),
    ("What colour is the sky on a clear day?", ("blue", "green", "brown", "black"), "it has the colour {} everywhere"),
    ("What colour is grass?", ("green", "blue", "red", "white"), "most of the time its colour is {}"),
    ("What colour is snow?", ("white", "green", "red", "black"), "most of the time its colour is {}"),
    ("What colour is a ripe banana?", ("yellow", "blue", "black", "white"), "most of the time its colour is {}"),
    ("How many legs does a dog have?", ("four", "two", "six", "eight"), "it walks on {} legs"),
    ("How many legs does a spider have?", ("eight", "two", "four", "three"), "it walks on {} legs"),
    ("How many days are in a week?", ("seven", "five", "ten", "three"), "there are {} days in it"),
    ("How many months are in a year?", ("twelve", "seven", "ten", "thirty"), "there are {} months in it"),
    ("Which planet do we live on?", ("Earth", "Mars", "Venus", "Jupiter"), "on the planet that is called {}"),
    ("Which planet is the largest?", ("Jupiter", "Earth", "Mars", "Mercury"), "the planet that is called {}"),
    ("What do bees make?", ("honey", "milk", "bread", "wine"), "they make {} that people like to eat or drink"),
    ("What do cows give us?", ("milk", "honey", "wine", "silk"), "they give us {} every day of the year"),
    ("What freezes to ice?", ("water", "sand", "wood", "gold"), "a thing that we all know well: {}"),
    ("What do fish live in?", ("water", "trees", "sand", "houses"), "in the {} that is all around them"),
    ("What is the opposite of hot?", ("cold", "big", "fast", "loud"), "the word that means the opposite is {}"),
    ("What is the opposite of up?", ("down", "left", "old", "red"), "the word that means the opposite is {}"),
    ("What is two plus two?", ("four", "three", "five", "nine"), "if you add them you get {}"),
    ("What is ten minus three?", ("seven", "two", "nine", "four"), "if you subtract it you get {}"),
    ("Which animal barks?", ("dog", "cat", "cow", "fish"), "the animal that people call the {}"),
    ("Which animal says meow?", ("cat", "dog", "horse", "duck"), "the animal that people call the {}"),
    ("Which season is the coldest?", ("winter", "summer", "spring", "autumn"), "the season that people call {}"),
    ("What do we use to write?", ("pen", "spoon", "shoe", "lamp"), "a useful thing that is called a {}"),
    ("What do we see with?", ("eyes", "ears", "hands", "feet"), "with the two {} that most people have"),
    ("What do we hear with?", ("ears", "eyes", "knees", "hair"), "with the {} that most people have"),
    ("Where does the sun rise?", ("east", "west", "north", "south"), "every morning it rises in the {}"),
    ("What is paper made of?", ("wood", "stone", "milk", "glass"), "for the most part it is made of {}"),
)  # fmt: skip


@dataclass(frozen=True)
class Posed:
    """A question with four options in one wording, and the place of the right one."""

    kind: Kind
    wording: Wording
    text: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True)
class Row:
    """Right answers of one combination for one kind and wording."""

    listing: Listing
    answer_form: AnswerForm
    scoring: Scoring
    kind: Kind
    wording: Wording
    accuracy: Accuracy


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=30, help=f"how many of each kind, at most {len(_KNOWLEDGE)}")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32", help="type of the weights")
    parser.add_argument("--json", type=Path, help="also write the table into this file")
    options = parser.parse_args()
    rows = measure(options.questions, options.precision)
    print_table(rows)
    if options.json is not None:
        content = {
            "questions": options.questions,
            "first_seed": FIRST_SEED,
            "precision": options.precision,
            "versions": versions(),
            "rows": [{**asdict(row), "share": row.accuracy.share} for row in rows],
        }
        with atomic_path(options.json) as file:
            file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@torch.no_grad()
def measure(questions: int, precision: Precision) -> list[Row]:
    """Ask all questions in all combinations."""
    types = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    loading = Loading(dtype=types[precision])
    model = HimmelForConditionalGeneration.from_pretrained(default_checkpoint(), loading=loading).eval()
    processor = HimmelProcessor(model.config, model.host)
    right: defaultdict[tuple[Listing, AnswerForm, Scoring, Kind, Wording], list[bool]] = defaultdict(list)
    with opened(STAMPS) as read:
        asked = [
            *about_clips(model, questions),
            *about_cut_outs(processor, questions, read),
            *about_photographs(processor, questions),
        ]
    for sample, posed in track(asked, what="Scoring options", total=len(asked)):
        for listing, form, scoring, one, hit in score(model, processor, sample, posed):
            right[listing, form, scoring, one.kind, one.wording].append(hit)
    return [Row(*key, accuracy(hits)) for key, hits in right.items()]


def score(
    model: HimmelForConditionalGeneration, processor: HimmelProcessor, sample: PreparedSample, posed: Sequence[Posed]
) -> Iterator[tuple[Listing, AnswerForm, Scoring, Posed, bool]]:
    """Whether each of some questions about one video is answered rightly, in every combination."""
    ways = [(listing, form, one) for listing, form in FORMS for one in posed]
    questions = [Question(one.text, one.choices, listing=listing, answer_form=form) for listing, form, one in ways]
    texts = [[(question.prompt, question.targets) for question in questions]]
    asked = processor.encode_choices([sample], texts, motion=sample.num_intervals > 0)
    blind = processor.encode_choices([sample], texts, motion=False, anchors=False)
    columns = (model.score_choices(asked), count_tokens(asked), count_bytes(asked), model.score_choices(blind))
    for way, own, tokens, sizes, without in zip(ways, *(column[0] for column in columns), strict=True):
        for scoring in get_args(Scoring):
            scores = weigh(own, scoring=scoring, tokens=tokens, sizes=sizes, blind=without)
            yield way[0], way[1], scoring, way[2], int(scores.argmax()) == way[2].answer


def about_clips(model: HimmelForConditionalGeneration, questions: int) -> Iterator[tuple[PreparedSample, list[Posed]]]:
    """Rendered clips, each with its first question of the kinds that nano can answer, if it has one."""
    store = ClipStore(model.config, split="eval")
    for seed in count(FIRST_SEED):
        if not questions:
            return
        store.prepare([seed], workers=1)
        clip = store.load(seed)
        fitting = [question for question in clip.questions if question.kind in _LONG]
        if fitting:
            questions -= 1
            first = fitting[0]
            yield clip.sample, list(word("motion", first.text, first.choices, first.answer, _LONG[first.kind], seed))


def about_cut_outs(
    processor: HimmelProcessor, questions: int, read: Callable[[str], bytes]
) -> Iterator[tuple[PreparedSample, list[Posed]]]:
    """What a cut-out shows; `read` gives the stamps' files."""
    subjects = read_subjects()
    for place in np.random.default_rng(1).permutation(len(subjects))[:questions].tolist():
        subject = subjects[place]
        names = [name for name in offered(subject, subjects, place) if name != subject.name]
        order = np.random.default_rng([place, 4])
        choices = order.permutation([subject.name, *order.permutation(names)[:3]]).tolist()
        sample = PreparedSample.of_pictures(processor.host.prepare_images([draw(subject, place, read)]))
        text, long = _CUT_OUT
        yield sample, list(word("seen", text, choices, choices.index(subject.name), long, place))


def about_photographs(processor: HimmelProcessor, questions: int) -> Iterator[tuple[PreparedSample, list[Posed]]]:
    """Plain knowledge beside a photograph."""
    folder = get_photographs()
    names = sorted(name for split in PHOTOGRAPHS.values() for name in split)
    for place, (text, choices, long) in enumerate(_KNOWLEDGE[:questions]):
        picture = cv2.cvtColor(cv2.imread(str(folder / names[place % len(names)])), cv2.COLOR_BGR2RGB)
        sample = PreparedSample.of_pictures(processor.host.prepare_images([picture]))
        order = np.random.default_rng(place).permutation(4)
        shuffled = tuple(choices[index] for index in order)
        yield sample, list(word("knowledge", text, shuffled, int(np.argmin(order)), long, place))


def word(kind: Kind, text: str, choices: Sequence[str], answer: int, long: str, seed: int) -> Iterator[Posed]:
    """One question in all wordings; `seed` draws which options are long in the mixed one."""
    mixed = set(np.random.default_rng([seed, 3]).permutation(4)[:2].tolist())
    places = {
        "all short": set[int](),
        "right short": {0, 1, 2, 3} - {answer},
        "right long": {answer},
        "mixed": mixed,
    }
    for wording in WORDINGS:
        options = [long.format(one) if place in places[wording] else one for place, one in enumerate(choices)]
        yield Posed(kind, wording, text, tuple(options), answer)


def print_table(rows: Sequence[Row]) -> None:
    """Print per cent right, a line for each combination, and which combination is best where lengths differ."""
    cells: defaultdict[tuple[Listing, AnswerForm, Scoring], dict[tuple[Kind, Wording], float]] = defaultdict(dict)
    for row in rows:
        cells[row.listing, row.answer_form, row.scoring][row.kind, row.wording] = 100 * row.accuracy.share
    means = {
        way: sum(found[kind, wording] for kind in LOOKED_AT for wording in UNEQUAL) / (len(LOOKED_AT) * len(UNEQUAL))
        for way, found in cells.items()
    }
    for kind in get_args(Kind):
        print(f"\n{kind + ':':26}", *(f"{wording:>11}" for wording in WORDINGS), "  unequal, looked at")
        for way, found in cells.items():
            shares = (f"{found[kind, wording]:11.1f}" for wording in WORDINGS)
            print(f"{way[0]:8} {way[1]:7} {way[2]:9}", *shares, f"{means[way]:20.1f}")
    asked = {row.kind: row.accuracy.total for row in rows}
    print(", ".join(f"{kind}: {total} questions" for kind, total in asked.items()))


if __name__ == "__main__":
    main()
