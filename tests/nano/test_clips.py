"""Specifications and questions: nothing is rendered or downloaded here."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from himmel.errors import UsageError
from himmel.nano.catalogue import EMOJI, HELD_OUT_EMOJI, PHOTOGRAPHS, Split
from himmel.nano.clips import CLASS_SIZES, FIRST_EVAL_SEED, KINDS, NUM_INTERVALS, SIZE, ClipSpec, Kind, ground_truth
from himmel.nano.draw import draw_spec
from himmel.nano.questions import Question, questions

train_seeds = st.integers(0, FIRST_EVAL_SEED - 1)
eval_seeds = st.integers(FIRST_EVAL_SEED, 2**63)


@pytest.fixture(scope="module", params=["train", "eval"])
def drawn(request: pytest.FixtureRequest) -> list[ClipSpec]:
    first = 0 if request.param == "train" else FIRST_EVAL_SEED
    return [draw_spec(first + seed, request.param) for seed in range(2000)]


@given(train_seeds, st.sampled_from(KINDS))
@settings(max_examples=80, deadline=None)
def test_training_clips_are_well_formed(seed: int, kind: Kind) -> None:
    check_well_formed(draw_spec(seed, "train", kind), kind)


@given(eval_seeds, st.sampled_from(KINDS))
@settings(max_examples=80, deadline=None)
def test_evaluation_clips_are_well_formed_and_return(seed: int, kind: Kind) -> None:
    spec = draw_spec(seed, "eval", kind)
    check_well_formed(spec, kind)
    assert spec.returns
    assert spec.encoding.constant_qp


def check_well_formed(spec: ClipSpec, kind: Kind) -> None:
    assert spec == draw_spec(spec.seed, spec.split, kind)
    assert kind in spec.asked
    assert len(set(spec.asked)) == len(spec.asked)
    assert 3 <= len(spec.asked) <= 6
    assert len(spec.lengths) == NUM_INTERVALS
    for length, move, camera in zip(spec.lengths, spec.moves, spec.camera, strict=True):
        assert 6 <= length <= 10
        assert move is None or camera is None
        for motion in (move, camera):
            if motion is not None:
                assert motion.steps >= 3
                assert motion.start >= 0
                assert motion.start + motion.steps <= length - 1
    even = np.arange(NUM_INTERVALS) * spec.num_pictures / NUM_INTERVALS
    assert np.abs(np.array(spec.anchors) - even).max() <= 1
    names = [thing.name for thing in spec.things if thing.place is not None]
    assert len(set(names)) == len(names)
    for thing in spec.things:
        assert -SIZE * 0.1 < thing.x < SIZE * 1.1
        assert -SIZE * 0.1 < thing.y < SIZE * 1.1
    truth = ground_truth(spec)
    assert truth.values.shape == (NUM_INTERVALS, 7)
    assert np.abs(truth.values).max() < 5
    assert (truth.classes < np.array(CLASS_SIZES)).all()
    assert (truth.classes >= -1).all()


def test_seeds_of_one_split_are_refused_by_the_other() -> None:
    for seed, split in ((FIRST_EVAL_SEED, "train"), (FIRST_EVAL_SEED - 1, "eval"), (-1, "train")):
        with pytest.raises(UsageError, match=f"Seed {seed} is not one of split '{split}'"):
            draw_spec(seed, split)  # type: ignore[arg-type]


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(UsageError, match="no question kind 'smell'; choose one of direction"):
        draw_spec(1, "train", "smell")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="always returns"):
        draw_spec(1, "train", "place", returns=False)


def test_no_answer_is_commoner_than_chance(drawn: list[ClipSpec]) -> None:
    answers: dict[Kind, list[str]] = defaultdict(list)
    positions: dict[Kind, list[str]] = defaultdict(list)
    for spec in drawn:
        for question in questions(spec):
            answers[question.kind].append(question.choices[question.answer])
            positions[question.kind].append(str(question.answer))
    expected = {"direction": 4, "camera": 7, "count": 4, "when": 4, "place": 4, "colour": 8, "number": 4}
    for kind, number in expected.items():
        assert_even(answers[kind], number)
    for kind in KINDS:
        assert_even(positions[kind], 4)
    for kind in ("object", "mover", "order"):
        assert Counter(answers[kind]).most_common(1)[0][1] / len(answers[kind]) < 0.12


def assert_even(drawn: Sequence[str], number: int) -> None:
    counts = Counter(drawn)
    assert len(counts) == number
    share = 1 / number
    # 4.5 standard deviations: a few dozen such bounds, all seeds fixed.
    slack = 4.5 * sqrt(share * (1 - share) / len(drawn))
    for option, count in counts.items():
        assert abs(count / len(drawn) - share) < slack, (option, counts)


def test_a_things_home_does_not_tell_its_direction(drawn: list[ClipSpec]) -> None:
    seen: dict[int | None, list[str]] = defaultdict(list)
    for spec in drawn:
        moves = [move for move in spec.moves if move is not None]
        if moves and spec.returns:
            seen[spec.things[moves[0].thing].place].append(moves[0].direction)
    assert len(seen) == 4
    for directions in seen.values():
        assert_even(directions, 4)


def test_answers_follow_from_what_moves(drawn: list[ClipSpec]) -> None:
    for spec in drawn:
        for question in questions(spec):
            assert len(set(question.choices)) == 4
            assert question.choices[question.answer] == recompute(spec, question), question


def recompute(spec: ClipSpec, question: Question) -> str:
    """The answer from numbers alone, not from the labels that the specification carries."""
    moved = [index for index, move in enumerate(spec.moves) if move is not None]
    moves = [spec.moves[index] for index in moved]
    match question.kind:
        case "direction":
            return direction(*np.sum([(m.dx, m.dy) for m in moves if m], axis=0))
        case "order" if spec.scenario == "two ways":
            first, last = moves[0], moves[-1]
            assert first
            assert last
            return f"{direction(first.dx, first.dy)}, then {direction(last.dx, last.dy)}"
        case "order" | "mover":
            assert moves[0]
            return f"the {spec.things[moves[0].thing].name}"
        case "count":
            return {1: "once", 2: "twice", 3: "three times", 4: "four times"}[len(moved)]
        case "when":
            if len(moved) > 2:
                return "all the time"
            return {0: "at the beginning", 1: "at the beginning", 3: "in the middle", 4: "in the middle"}.get(
                moved[0], "at the end"
            )
        case "place":
            assert moves[0]
            thing = spec.things[moves[0].thing]
            return f"{'top' if thing.y < SIZE / 2 else 'bottom'} {'left' if thing.x < SIZE / 2 else 'right'}"
        case "camera":
            dx, dy, growth = (sum(getattr(c, n) for c in spec.camera if c) for n in ("dx", "dy", "growth"))
            if growth:
                return "zooms in" if growth > 0 else "zooms out"
            if dx or dy:
                return {"left": "pans right", "right": "pans left", "up": "tilts down", "down": "tilts up"}[
                    direction(dx, dy)
                ]
            return "stays still"
        case "object":
            present = {f"the {thing.name}" for thing in spec.things}
            (only,) = present.intersection(question.choices)
            return only
        case "colour":
            (colour,) = {t.colour for t in spec.things if t.shape and t.shape in question.text and t.place is None}
            assert sum(t.shape != "" and t.shape in question.text for t in spec.things) == 1
            return colour
        case "number":
            return ("one", "two", "three", "four")[
                sum(f"{t.shape}s" in question.text for t in spec.things if t.shape) - 1
            ]


def direction(dx: float, dy: float) -> str:
    if abs(dx) > 2 * abs(dy):
        return "right" if dx > 0 else "left"
    assert abs(dy) > 2 * abs(dx)
    return "down" if dy > 0 else "up"


def test_no_question_answers_another(drawn: list[ClipSpec]) -> None:
    for spec in drawn:
        asked = questions(spec)
        assert not {"mover", "place"} <= set(spec.asked)
        mover = next((spec.things[move.thing].name for move in spec.moves if move is not None), None)
        for question in asked:
            others = [other for other in asked if other is not question]
            words = {word.strip("?:,.") for other in others for word in other.text.lower().split()}
            if question.kind in ("object", "mover", "order"):
                answer = question.choices[question.answer].removeprefix("the ")
                assert not set(answer.split()) <= words, asked
                assert not set(question.choices) & {choice for other in others for choice in other.choices}
            if question.kind in ("mover", "place"):
                assert mover
                assert not set(mover.split()) <= words
            if question.kind in ("colour", "number"):
                shapes = {thing.shape for thing in spec.things if thing.shape and thing.shape in question.text}
                assert not shapes & words


def test_splits_share_neither_photographs_nor_the_held_out_emoji() -> None:
    assert not set(PHOTOGRAPHS["train"]) & set(PHOTOGRAPHS["eval"])
    assert not set(EMOJI) & set(HELD_OUT_EMOJI)


def test_held_out_emoji_move_in_evaluation_alone_and_are_never_the_answer(drawn: list[ClipSpec]) -> None:
    split: Split = drawn[0].split
    seen = 0
    for spec in drawn:
        held_out = {thing.name for thing in spec.things} & set(HELD_OUT_EMOJI)
        seen += bool(held_out)
        options = {choice.removeprefix("the ") for question in questions(spec) for choice in question.choices}
        assert not options & set(HELD_OUT_EMOJI)
    assert seen == 0 if split == "train" else seen > 200


def test_what_the_photograph_shows_is_neither_drawn_nor_offered(drawn: list[ClipSpec]) -> None:
    for spec in drawn:
        shown = set(PHOTOGRAPHS[spec.split][spec.background.photograph])
        options = {choice.removeprefix("the ") for question in questions(spec) for choice in question.choices}
        assert not shown & (options | {thing.name for thing in spec.things})


def test_a_quarter_of_training_clips_drifts() -> None:
    drifting = sum(not draw_spec(seed).returns for seed in range(800))
    assert 0.18 < drifting / 800 < 0.28


def test_ground_truth_of_a_known_clip() -> None:
    spec = draw_spec(5, "train", "camera")
    truth = ground_truth(spec)
    for index, camera in enumerate(spec.camera):
        if camera is None:
            assert (truth.values[index, 3:] == 0).all()
        else:
            assert truth.values[index, 3] * SIZE / 100 == pytest.approx(camera.dx)
            assert truth.values[index, 4] * SIZE / 100 == pytest.approx(camera.dy)
            assert truth.values[index, 6] == pytest.approx(camera.steps / (spec.lengths[index] - 1))
            assert truth.classes[index, 0] == 2
    assert repr(truth) == "GroundTruth(values=(8, 7), classes=(8, 4))"
