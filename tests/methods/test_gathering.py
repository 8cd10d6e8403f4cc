"""Questions that come while others are being answered."""

from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.methods.answer import Answer
from himmel.methods.choice import build
from himmel.methods.decoding import Decoding
from himmel.methods.gathering import Gathering
from himmel.methods.question import Question
from himmel.methods.session import Session


@pytest.fixture(scope="module")
def session(tiny_host: Callable[[str], str]) -> Session:
    return Session(host=tiny_host("qwen2_5_vl"), device="cpu")


def gather(session: Session, name: str = "dense", **options: int) -> Gathering:
    found = session.gather(method=build(name, num_frames=2, **options), threads=1)
    assert found is not None
    return found


def test_a_short_answer_does_not_wait_for_a_long_one(session: Session, clip: Path) -> None:
    gathering = gather(session)
    prepared = session.prepare(clip, method=gathering.method, threads=1)
    long = gathering.join(prepared, Question("What moves?"), Decoding(max_new_tokens=12))
    assert gathering.step() == {}
    short = gathering.join(prepared, Question("Where?"), Decoding(max_new_tokens=1))
    first = gathering.step()
    assert list(first) == [short]
    assert gathering.count == 1
    outcomes = dict(first)
    while gathering.count:
        outcomes |= gathering.step()
    for number, text, most in ((long, "What moves?", 12), (short, "Where?", 1)):
        answer, alone = (
            outcomes[number],
            session.ask(clip, text, method=gathering.method, max_new_tokens=most, threads=1),
        )
        assert isinstance(answer, Answer)
        assert (answer.text, answer.tokens, answer.prompt_sha256) == (alone.text, alone.tokens, alone.prompt_sha256)
        assert answer.seconds["answer"] > 0
        assert answer.first_token > 0


def test_what_was_not_begun_can_be_dropped(session: Session, clip: Path) -> None:
    gathering = gather(session)
    prepared = session.prepare(clip, method=gathering.method, threads=1)
    begun = gathering.join(prepared, Question("What moves?"), Decoding(max_new_tokens=12))
    gathering.step()
    waiting = gathering.join(prepared, Question("Where?"), Decoding())
    assert gathering.drop(waiting)
    assert not gathering.drop(begun)
    assert gathering.count == 1


def test_an_error_is_its_own_questions(session: Session, clip: Path) -> None:
    """uniform_drop that may keep everything removes nothing."""
    gathering = gather(session, "uniform_drop", keep=1)
    prepared = session.prepare(clip, method=gathering.method, threads=1)
    number = gathering.join(prepared, Question("What moves?"), Decoding())
    outcome = gathering.step()[number]
    assert isinstance(outcome, Exception)
    assert "removed none of" in str(outcome)
    assert gathering.count == 0


@pytest.mark.parametrize("name", ["hermes", "look_m"])
def test_methods_with_a_cache_for_each_question_take_none_meanwhile(session: Session, name: str) -> None:
    assert session.gather(method=name) is None
