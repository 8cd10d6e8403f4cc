"""Subtitle files of three kinds, and hostile ones."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from himmel.data.subtitles import Cue, read_subtitles, spoken
from himmel.errors import HimmelError
from himmel.evaluation.items import Item
from himmel.evaluation.subtitles import subtitles_for

SRT = """\ufeff1
00:00:01,000 --> 00:00:03,500
<font color="white" size=".72c">Good evening,</font>
and welcome &amp; hello.

2
01:00:00,000 --> 01:00:02,000
{\\an8}The end
"""


def test_subrip(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(SRT, encoding="utf-8")
    assert read_subtitles(tmp_path / "a.srt") == (
        Cue(1.0, 3.5, "Good evening, and welcome & hello."),
        Cue(3600.0, 3602.0, "The end"),
    )


def test_web_vtt_has_short_times_and_settings(tmp_path: Path) -> None:
    lines = ["WEBVTT", "", "NOTE a comment", "", "intro", "00:01.250 --> 00:02.500 align:start", "<v Ann>Hello"]
    (tmp_path / "a.vtt").write_text("\n".join(lines), encoding="utf-8")
    assert read_subtitles(tmp_path / "a.vtt") == (Cue(1.25, 2.5, "Hello"),)


def test_cues_without_an_empty_line_between_them(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("00:00:01,000 --> 00:00:02,000\na\n00:00:02,000 --> 00:00:03,000\nb\n", "utf-8")
    assert [cue.text for cue in read_subtitles(tmp_path / "a.srt")] == ["a", "b"]
    numbered = "1\n00:00:01,000 --> 00:00:02,000\na 1\n2\n00:00:02,000 --> 00:00:03,000\n42\n"
    (tmp_path / "b.srt").write_text(numbered, "utf-8")
    assert [cue.text for cue in read_subtitles(tmp_path / "b.srt")] == ["a 1", "42"]


def test_longvideobench_writes_two_kinds_of_json(tmp_path: Path) -> None:
    rows = [
        {"timestamp": [4.0, None], "text": "last"},
        {"timestamp": [1, 2.5], "text": "first"},
        {"start": "00:00:02.500", "end": "00:00:04.000", "line": "second"},
        # No float can hold these.
        {"timestamp": [10**400, 10**401], "text": "never"},
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    assert read_subtitles(tmp_path / "a.json") == (
        Cue(1.0, 2.5, "first"), Cue(2.5, 4.0, "second"), Cue(4.0, math.inf, "last"),
    )  # fmt: skip


CUES = (Cue(10.0, 12.0, "one"), Cue(12.0, 14.0, "two"), Cue(20.0, 20.2, "short"))


def test_only_what_is_said_in_the_shown_frames_is_kept() -> None:
    assert spoken(CUES, times=[11.0, 12.0]) == "one\ntwo"
    assert spoken(CUES, times=[15.0]) == ""


def test_a_short_cue_is_widened_to_a_second() -> None:
    assert spoken(CUES, times=[20.5]) == "short"
    assert spoken(CUES, times=[20.7]) == ""


def test_the_videos_clock_may_start_later() -> None:
    assert spoken(CUES, times=[1.0], offset=10.0) == "one"


def test_a_part_of_the_video() -> None:
    assert spoken(CUES, begin=13.0, end=20.0) == "two\nshort"


def test_a_line_that_is_repeated_comes_once() -> None:
    assert spoken((Cue(0.0, 2.0, "a"), Cue(2.0, 4.0, "a"), Cue(4.0, 6.0, "b"))) == "a\nb"


def test_an_item_without_a_subtitle_file_has_none(tmp_path: Path) -> None:
    there = tmp_path / "a.srt"
    item = Item("a", "a.mp4", None, "video", "What?", ("a", "b"), ("A",), subtitles=there, start=0.0, end=2.0)
    assert subtitles_for(item) is None
    there.write_text(SRT, encoding="utf-8")
    assert subtitles_for(item) == "Good evening, and welcome & hello."
    assert subtitles_for(item, [0.5]) == ""


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.txt", "hello", "is no subtitle file that can be read"),
        ("a.srt", "hello", "has no subtitle in it"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", '{"a": 1}', "has no subtitle in it"),
    ],
)
def test_what_is_no_subtitle_file_is_refused(name: str, text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(HimmelError, match=says):
        read_subtitles(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HimmelError, match=r"Cannot read the subtitles .*a\.srt"):
        read_subtitles(tmp_path / "a.srt")


@given(st.text("0123456789:,.->\n <{a\\}", max_size=300), st.sampled_from((".srt", ".vtt", ".json")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_refused(tmp_path: Path, text: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text(text, encoding="utf-8")
    try:
        cues = read_subtitles(path)
    except HimmelError:
        return
    assert all(0 <= cue.start <= cue.end and cue.text for cue in cues)
