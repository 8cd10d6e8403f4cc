"""Specifications and questions: nothing is rendered or downloaded here."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from himmel.errors import UsageError
from himmel.nano.catalogue import ACTIONS, CAMERA_MOTIONS, EMOJI, HELD_OUT_EMOJI, PHOTOGRAPHS
from himmel.nano.clips import (
    CLASS_SIZES,
    FIRST_EVAL_SEED,
    NUM_INTERVALS,
    SIZE,
    VALUE_COLUMNS,
    ClipSpec,
    Thing,
    ground_truth,
)
from himmel.nano.draw import draw_spec
from himmel.nano.kinds import KINDS, Kind
from himmel.nano.questions import Question, questions
from himmel.nano.wordings import OPTIONS

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
    assert 3 <= len(spec.asked) <= 7
    assert len(spec.lengths) == NUM_INTERVALS
    assert (1.5 if spec.split == "train" else 3.9) <= spec.seconds <= 120.1
    for length, act, camera in zip(spec.lengths, spec.acts, spec.camera, strict=True):
        assert 5 <= length <= 181
        assert act is None or camera is None
        for motion in (act, camera):
            if motion is not None:
                assert motion.steps >= 1
                assert motion.start >= 0
                assert motion.start + motion.steps <= length - 1
    even = np.arange(NUM_INTERVALS) * spec.num_pictures / NUM_INTERVALS
    assert np.abs(np.array(spec.anchors) - even).max() <= 1
    names = [thing.name for thing in spec.things if thing.place is not None]
    assert len(set(names)) == len(names)
    for thing in spec.things:
        assert -SIZE * 0.1 < thing.x < SIZE * 1.1
        assert -SIZE * 0.1 < thing.y < SIZE * 1.1
    assert (spec.change is not None) <= (spec.scenario == "change")
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
    for kind in ("place", "action", "state"):
        with pytest.raises(UsageError, match=f"of kind '{kind}' always returns"):
            draw_spec(1, "train", kind, returns=False)  # type: ignore[arg-type]


def test_no_answer_is_commoner_than_chance(drawn: list[ClipSpec]) -> None:
    answers: dict[Kind, list[str]] = defaultdict(list)
    positions: dict[Kind, list[str]] = defaultdict(list)
    for spec in drawn:
        for question in questions(spec):
            answers[question.kind].append(canonical(question))
            positions[question.kind].append(str(question.answer))
    for kind, ways in OPTIONS.items():
        assert_even(answers[kind], len(ways[0]))
    assert_even(answers["colour"], 8)
    for kind in KINDS:
        assert_even(positions[kind], 4)
    for kind in ("object", "mover", "first", "order", "action order"):
        assert Counter(answers[kind]).most_common(1)[0][1] / len(answers[kind]) < 0.12


def canonical(question: Question) -> str:
    """The right answer in the words that come first, however it is put."""
    answer = question.choices[question.answer]
    for way in OPTIONS.get(question.kind, ()):
        if set(question.choices) <= set(way):
            return OPTIONS[question.kind][0][way.index(answer)]
    assert question.kind not in OPTIONS
    return answer


def test_a_shape_is_no_likelier_to_be_right_than_another_option(drawn: list[ClipSpec]) -> None:
    """Options that name things: shapes among them must not be known to be right or wrong."""
    right, offered = 0, 0.0
    for spec in drawn:
        for question in questions(spec):
            if question.kind in ("mover", "first"):
                shapes = [place for place, choice in enumerate(question.choices) if choice.count(" ") == 2]
                right += question.answer in shapes
                offered += len(shapes) / 4
    assert right == pytest.approx(offered, abs=4 * sqrt(offered))


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
        acts = [act for act in spec.acts if act is not None and act.direction]
        if acts and spec.returns:
            seen[spec.things[acts[0].thing].place].append(acts[0].direction)
    assert len(seen) == 4
    for directions in seen.values():
        assert_even(directions, 4)


def test_answers_follow_from_what_moves(drawn: list[ClipSpec]) -> None:
    for spec in drawn:
        for question in questions(spec):
            assert len(set(question.choices)) == 4
            assert canonical(question) == recompute(spec, question), question


def recompute(spec: ClipSpec, question: Question) -> str:
    """The answer from numbers alone, not from the labels that the specification carries."""
    acted = [index for index, act in enumerate(spec.acts) if act is not None]
    acts = [act for act in spec.acts if act is not None]
    match question.kind:
        case "direction":
            return direction(*np.sum([(act.dx, act.dy) for act in acts], axis=0))
        case "order":
            first, last = acts[0], acts[-1]
            return f"{direction(first.dx, first.dy)}, then {direction(last.dx, last.dy)}"
        case "first" | "mover":
            return f"the {spec.things[acts[0].thing].name}"
        case "count":
            return {1: "once", 2: "twice", 3: "three times", 4: "four times"}[len(acted)]
        case "action count":
            verb = next(name for name in ("move", "shake", "jump", "spin", "grow", "vanish") if name in question.text)
            number = sum(act.action.removesuffix("s").removesuffix("e") == verb.removesuffix("e") for act in acts)
            number = number or sum(act.action == "vanishes" for act in acts)
            return {1: "once", 2: "twice", 3: "three times", 4: "four times"}[number]
        case "action order":
            return f"{acts[0].action}, then {acts[-1].action}"
        case "action":
            (action,) = {act.action for act in acts}
            return action
        case "speed":
            speeds = [float(np.hypot(act.dx, act.dy)) for act in acts]
            if len(speeds) == 1:
                return "there is one only"
            if abs(speeds[0] - speeds[1]) < 0.02 * speeds[0]:
                return "both alike"
            return "the first" if speeds[0] > 2 * speeds[1] else "the second"
        case "moving count":
            return ("none", "one", "two", "three")[len({act.thing for act in acts})]
        case "when":
            if len(acted) > 2:
                return "all the time"
            return {0: "at the beginning", 1: "at the beginning", 3: "in the middle", 4: "in the middle"}.get(
                acted[0], "at the end"
            )
        case "place":
            return corner(spec.things[acts[0].thing])
        case "position":
            named = question.text.split(" the ")[-1].removesuffix("?").removesuffix(" in")
            (thing,) = (one for one in spec.things if one.name == named)
            return corner(thing)
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
        case "scene":
            return PHOTOGRAPHS[spec.split][spec.background.photograph].scene
        case "state":
            kinds = {"appears": 0, "disappears": 1, "turns": 2}
            return OPTIONS["state"][0][3 if spec.change is None else kinds[spec.change.kind]]
        case "colour":
            (colour,) = {t.colour for t in spec.things if t.shape and t.shape in question.text and t.place is None}
            assert sum(t.shape != "" and t.shape in question.text for t in spec.things) == 1
            return colour
        case "number":
            return ("one", "two", "three", "four")[
                sum(f"{t.shape}s" in question.text for t in spec.things if t.shape) - 1
            ]


def corner(thing: Thing) -> str:
    return f"{'top' if thing.y < SIZE / 2 else 'bottom'} {'left' if thing.x < SIZE / 2 else 'right'}"


def direction(dx: float, dy: float) -> str:
    if abs(dx) > 2 * abs(dy):
        return "right" if dx > 0 else "left"
    assert abs(dy) > 2 * abs(dx)
    return "down" if dy > 0 else "up"


def test_no_question_answers_another(drawn: list[ClipSpec]) -> None:
    for spec in drawn:
        asked = questions(spec)
        assert not {"mover", "place"} <= set(spec.asked)
        assert not {"action", "action count"} <= set(spec.asked)
        assert not {"object", "position"} <= set(spec.asked)
        mover = next((spec.things[act.thing].name for act in spec.acts if act is not None), None)
        for question in asked:
            others = [other for other in asked if other is not question]
            words = {word.strip("?:,.") for other in others for word in other.text.lower().split()}
            if question.kind in ("object", "mover", "first"):
                answer = question.choices[question.answer].removeprefix("the ")
                assert not set(answer.split()) <= words, asked
                assert not set(question.choices) & {choice for other in others for choice in other.choices}
            if question.kind in ("mover", "place"):
                assert mover
                assert not set(mover.split()) <= words
            if question.kind in ("colour", "number"):
                shapes = {thing.shape for thing in spec.things if thing.shape and thing.shape in question.text}
                assert not shapes & words


def test_splits_share_neither_photographs_nor_emoji_nor_settings_nor_all_words(drawn: list[ClipSpec]) -> None:
    assert not set(PHOTOGRAPHS["train"]) & set(PHOTOGRAPHS["eval"])
    assert not set(EMOJI) & set(HELD_OUT_EMOJI)
    own, other = (EMOJI, HELD_OUT_EMOJI) if drawn[0].split == "train" else (HELD_OUT_EMOJI, EMOJI)
    names = {thing.name for spec in drawn for thing in spec.things if thing.emoji}
    assert names == set(own)
    offered = {choice for spec in drawn for question in questions(spec) for choice in question.choices}
    assert not {f"the {name}" for name in other} & offered
    last = {option for ways in OPTIONS.values() for option in ways[-1]}
    earlier = {option for ways in OPTIONS.values() for way in ways[:-1] for option in way}
    assert bool((last - earlier) & offered) == (drawn[0].split == "eval")
    settings = {(spec.encoding.preset, spec.encoding.level) for spec in drawn}
    first = FIRST_EVAL_SEED if drawn[0].split == "train" else 0
    others = [draw_spec(first + seed, "eval" if first else "train").encoding for seed in range(300)]
    assert not settings & {(one.preset, one.level) for one in others}
    assert not {preset for preset, _ in settings} & {one.preset for one in others}


def test_every_action_is_asked_about_and_distracted_from(drawn: list[ClipSpec]) -> None:
    counted = Counter(spec.counted for spec in drawn if spec.scenario == "repeats")
    assert set(counted) == set(ACTIONS)
    distracted = [len({act.action for act in spec.acts if act}) == 2 for spec in drawn if spec.scenario == "repeats"]
    assert 0.5 < np.mean(distracted) < 0.8


def test_what_the_photograph_shows_is_neither_drawn_nor_offered(drawn: list[ClipSpec]) -> None:
    for spec in drawn:
        shown = set(PHOTOGRAPHS[spec.split][spec.background.photograph].names)
        asked = [question for question in questions(spec) if question.kind != "scene"]
        options = {choice.removeprefix("the ") for question in asked for choice in question.choices}
        assert not shown & (options | {thing.name for thing in spec.things})


def test_a_quarter_of_training_clips_about_ways_drifts() -> None:
    kinds: tuple[Kind, ...] = ("direction", "camera", "count", "order", "moving count")
    drifting = [not draw_spec(seed, "train", kind).returns for seed in range(200) for kind in kinds]
    assert 0.18 < np.mean(drifting) < 0.32


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
    assert repr(truth) == "GroundTruth(values=(8, 7), classes=(8, 6))"


@pytest.mark.parametrize("kind", ["direction", "camera", "action", "speed", "state", "moving count"])
@pytest.mark.parametrize("step", [1, 2, 3, 8])
def test_ground_truth_of_other_intervals_is_counted_picture_by_picture(kind: Kind, step: int) -> None:
    """Every so many of the clip's own anchors, and one picture in the middle of the first of them."""
    for seed in range(40):
        spec = draw_spec(seed, "train", kind)
        own = ground_truth(spec)
        anchors = sorted({*spec.anchors[::step], spec.lengths[0] // 2})
        truth = ground_truth(spec, anchors)
        for index, (start, end) in enumerate(pairwise([*anchors, spec.num_pictures])):
            counts = Counter(
                interval
                for picture in range(start + 1, end)
                for interval in [changed_in(spec, picture)]
                if interval >= 0
            )
            most = max(sorted(counts), key=counts.__getitem__, default=None)
            if most is None:
                assert not truth.values[index].any()
                assert truth.classes[index].tolist() == [0, -1, -1, len(CAMERA_MOTIONS) - 1, -1, -1]
                assert truth.things[index] is None
                continue
            assert truth.classes[index].tolist() == own.classes[most].tolist()
            assert truth.things[index] == own.things[most]
            for column, name in enumerate(VALUE_COLUMNS):
                expected = own.values[most, column]
                if name.endswith("share") and expected:
                    expected = counts[most] / (end - start - 1)
                assert truth.values[index, column] == pytest.approx(expected)


def changed_in(spec: ClipSpec, picture: int) -> int:
    """The clip's own interval in which this picture differs from the one before; -1 if it does not."""
    index = max(place for place, anchor in enumerate(spec.anchors) if anchor <= picture)
    done = picture - spec.anchors[index]
    moves = any(one and one.start < done <= one.start + one.steps for one in (spec.acts[index], spec.camera[index]))
    change = spec.change
    return index if moves or (change and change.interval == index and done == change.start + 1) else -1


def test_ground_truth_of_the_clips_own_anchors_is_its_own() -> None:
    for seed in range(100):
        spec = draw_spec(seed, "train")
        own, asked = ground_truth(spec), ground_truth(spec, spec.anchors)
        assert np.array_equal(own.values, asked.values)
        assert np.array_equal(own.classes, asked.classes)
        assert own.things == asked.things


@pytest.mark.parametrize("anchors", [(), (3, 3), (5, 2), (-1, 4), (0, 10_000)])
def test_ground_truth_needs_anchors_of_the_clip(anchors: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="are not pictures in order; give some of 0 to"):
        ground_truth(draw_spec(5, "train"), anchors)
