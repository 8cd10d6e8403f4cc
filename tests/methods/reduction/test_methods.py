"""Token reduction as methods: every kind of host, from a file to an answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from himmel.errors import UsageError
from himmel.methods.choice import build
from himmel.methods.decoding import Decoding
from himmel.methods.question import Question
from himmel.methods.reduction.methods import REDUCTIONS
from himmel.methods.session import Session
from himmel.video import Video
from tiny_hosts import Setup

NAMES = [method.name for method in REDUCTIONS]
FRAMES = 8
BUDGETS = dict.fromkeys(NAMES, 0.25) | {"dycoke": 0.475}


@pytest.fixture
def session(host_setup: Setup) -> Session:
    return Session(host_setup.model)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_says_what_was_removed(session: Session, clip: Path, name: Any) -> None:
    answer = session.ask(clip, "What moves?", method=name, num_frames=FRAMES, max_new_tokens=2)
    dense = session.ask(clip, "What moves?", method="dense", num_frames=FRAMES, max_new_tokens=1)
    assert answer.removed is not None
    assert answer.removed.unit == "tokens"
    assert answer.removed.before == dense.tokens["image"]
    per_frame = answer.removed.before // FRAMES
    kept = int(BUDGETS[name] * answer.removed.before + 1e-9)
    assert answer.removed.after == max(kept, per_frame if name == "evs" else FRAMES)
    assert answer.tokens == {**dense.tokens, "image": answer.removed.after}
    assert (answer.removed.merged > 0) == (name in ("tome", "metom"))
    # The prompt is the same before anything is removed.
    assert answer.prompt_sha256 == dense.prompt_sha256


@pytest.mark.parametrize("name", NAMES)
def test_removing_nothing_is_refused(session: Session, clip: Path, name: Any) -> None:
    # LLaVA's token for a new line shows nothing of the picture, and metom drops it whatever the budget.
    if name == "metom" and session.plain.host.name == "llava_onevision":
        removed = session.ask(clip, "What moves?", method=name, keep=1.0, num_frames=4, max_new_tokens=1).removed
        assert removed is not None
        assert removed.before - removed.after == 4
        return
    with pytest.raises(UsageError, match=rf"{name} with keep=1\.0 removed none of \d+ vision tokens"):
        session.ask(clip, "What moves?", method=name, keep=1.0, num_frames=4)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_what_each_question_gets_alone(
    session: Session, encode_clip: Callable[..., Path], name: Any
) -> None:
    clips = [encode_clip("a.mp4", num_frames=20), encode_clip("b.mp4", size=(64, 96), num_frames=5)]
    asked = [
        (clips[0], Question("Which way does it move, if it moves?", ("to the left", "up"), "raw")),
        (clips[1], Question("Which?", ("one", "two", "three"), "raw")),
        (clips[1], Question("Why?")),
    ]
    options = {"method": name, "num_frames": FRAMES, "max_new_tokens": 2, "keep": 0.5}
    together = session.ask_all(asked, **options)
    for (video, question), found in zip(asked, together, strict=True):
        alone = session.ask_all([(video, question)], **options)[0]
        assert (found.prompt_sha256, found.tokens, found.removed) == (alone.prompt_sha256, alone.tokens, alone.removed)
        assert [one.score for one in found.choices] == pytest.approx([one.score for one in alone.choices], abs=2e-3)


def test_the_budget_changes_the_answers_likelihoods(session: Session, clip: Path) -> None:
    options: dict[str, Any] = {"choices": ["left", "right"], "scoring": "raw", "num_frames": FRAMES}
    scores = [
        session.ask(clip, "Which way?", method="uniform_drop", keep=keep, **options).choices[0].log_likelihood
        for keep in (0.25, 0.5)
    ]
    assert scores[0] != scores[1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keep", [0, 1.5, "half", None])
def test_a_budget_that_is_none_is_refused_at_once(name: str, keep: object) -> None:
    with pytest.raises(UsageError, match="keep="):
        build(name, keep=keep)


def test_a_single_picture_has_no_codec(session: Session) -> None:
    picture = Image.fromarray(np.full((48, 64, 3), 90, np.uint8))
    with pytest.raises(UsageError, match="a single picture has no codec"):
        session.ask(picture, "What is it?", method="metom")
    answer = session.ask(picture, "What is it?", method="vidcom2", keep=0.5, max_new_tokens=1)
    assert answer.removed is not None
    assert answer.removed.after < answer.removed.before


def test_two_cuts_by_chance_differ_by_their_seed(session: Session, clip: Path) -> None:
    options: dict[str, Any] = {"choices": ["left", "right"], "scoring": "raw", "num_frames": FRAMES}
    first, again, other = (
        session.ask(clip, "Which way?", method="uniform_drop", drop_seed=seed, **options).choices[0].log_likelihood
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


@pytest.fixture
def corner_moves(pan: Callable[..., Any], encode_clip: Callable[..., Path]) -> Path:
    """40 pictures of 128 x 96 that stand still, but for the last quarter right and below, from the 20th on."""
    still = next(pan(1, (128, 96), (0, 0), 3))
    pictures: list[npt.NDArray[np.uint8]] = [still] * 20
    for moving in pan(20, (64, 48), (4, 2), 5):
        picture = still.copy()
        picture[48:, 64:] = moving
        pictures.append(picture)
    return encode_clip("corner.mp4", pictures, options={"g": "20", "sc_threshold": "0"})


def test_metom_keeps_what_moves_and_more_of_busy_groups(session: Session, corner_moves: Path) -> None:
    method = build("metom", num_frames=FRAMES)
    read = method.reading(None).read(Video(corner_moves))
    assert read.spending is not None
    assert "spending" in (read.seconds or {})
    processor = method.processor(session.plain)
    shown: Any = method.prepare(read, processor)
    assert shown.packets[-1] > 1.2 * shown.packets[0]
    places = [where.nan_to_num(0) for where in shown.places]
    for cost, where in list(zip(shown.cost, places, strict=True))[5:]:
        moving = (where[:, 0] > 64 / 96) & (where[:, 1] > 0.5)
        still = (where[:, 0] < 64 / 96) & (where[:, 1] < 0.5) & ~cost.isnan()
        assert cost[moving].mean() > 3 * cost[still].mean()
    [reply] = method.answer(session.plain, processor, [shown], [Question("What moves?")], decodings=[Decoding()])
    assert reply.removed is not None


def test_what_cannot_be_parsed_is_decoded_and_said(session: Session, encode_clip: Callable[..., Path]) -> None:
    clip = encode_clip("hevc.mp4", codec="libx265", num_frames=24)
    answer = session.ask(clip, "What moves?", method="metom", num_frames=FRAMES, max_new_tokens=1)
    assert any("estimated by decoding (hevc, proxy)" in note for note in answer.notes)
