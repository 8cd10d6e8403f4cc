"""Browsers are forgotten and their videos removed."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from himmel.serving.server.limits import Limits
from himmel.serving.server.refusal import Refusal
from himmel.serving.server.spool import Spool
from himmel.serving.studio.visitors import Shown, Visitor, Visitors


def give(spool: Spool, visitors: Visitors, visitor: Visitor, content: bytes) -> Shown:
    with spool.writing(1000) as writer:
        writer.write(content)
        held = ExitStack()
        stored = held.enter_context(writer.kept())
    return visitors.add(visitor, "a.mp4", stored, held)


def test_the_oldest_video_makes_room(tmp_path: Path) -> None:
    spool = Spool(Limits(), tmp_path)
    visitors = Visitors(spool, videos=2)
    visitor = visitors.welcome(None)
    shown = [give(spool, visitors, visitor, bytes([number])) for number in range(3)]
    assert [one.path.exists() for one in shown] == [False, True, True]


def test_a_file_that_two_have_stays_until_both_let_go(tmp_path: Path) -> None:
    spool = Spool(Limits(), tmp_path)
    visitors = Visitors(spool)
    first, second = visitors.welcome(None), visitors.welcome(None)
    one, other = give(spool, visitors, first, b"same"), give(spool, visitors, second, b"same")
    visitors.drop(first, one.id)
    assert other.path.exists()
    visitors.drop(second, other.id)
    assert not other.path.exists()


def test_who_is_not_heard_of_is_forgotten_unless_busy(tmp_path: Path) -> None:
    spool = Spool(Limits(), tmp_path)
    visitors = Visitors(spool, patience=-1.0)
    visitor = visitors.welcome(None)
    shown = give(spool, visitors, visitor, b"x")
    visitor.begin("task", 1)
    visitors.forget()
    assert shown.path.exists()
    with pytest.raises(Refusal, match="still being worked on"):
        visitor.begin("task", 1)
    visitor.begin("look", 1)
    visitor.end("look")
    visitor.end("task")
    visitors.forget()
    assert not shown.path.exists()
    with pytest.raises(Refusal, match="load it again"):
        visitors.find(visitor.token)


def test_there_is_an_end_to_browsers(tmp_path: Path) -> None:
    spool = Spool(Limits(), tmp_path)
    visitors = Visitors(spool, most=1)
    known = visitors.welcome(None)
    assert visitors.welcome(known.token) is known
    give(spool, visitors, known, b"x")
    with pytest.raises(Refusal, match="1 browsers use this page"):
        visitors.welcome("another")


def test_browsers_without_a_video_make_room(tmp_path: Path) -> None:
    spool = Spool(Limits(), tmp_path)
    visitors = Visitors(spool, most=2)
    known = visitors.welcome(None)
    give(spool, visitors, known, b"x")
    # Such as pictures of another site that lead here, which come without a cookie.
    tokens = [visitors.welcome(None).token for _ in range(5)]
    assert visitors.find(known.token) is known
    assert visitors.find(tokens[-1])
    with pytest.raises(Refusal, match="load it again"):
        visitors.find(tokens[0])
