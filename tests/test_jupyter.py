"""What results show of themselves in Jupyter: parsed, its pictures decoded, and nothing outside it."""

import base64
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from himmel.evaluation.summary import Judged, summarise
from himmel.methods.answer import AnchorRead, Answer, ChoiceScore, IntervalRead, VideoRead
from himmel.video import Video

Encode = Callable[..., Path]
READ = VideoRead(
    path="a.mp4", sha256="ab", codec="h264", width=8, height=8, duration=4.0, num_frames=100, average_rate=25.0,
    backend="bitstream", backend_reason="why", residual_kind="exact", distance_kind="exact", accumulated=False, cell=8,
    anchor_width=8, anchor_height=8,
    anchors=(AnchorRead(0, 0.0, True, "uniform"), AnchorRead(50, 2.0, True, "uniform")),
    intervals=(IntervalRead((25,), (1.0,)), IntervalRead((60, 75), (2.4, 3.0))), num_vectors=7, num_damaged=0,
)  # fmt: skip
ANSWER = Answer(
    text="<left> & right", question="Which way?", choices=(), method="himmel", options={}, video=READ, host="nano",
    adapter=None, tokens={"text": 12, "motion": 128}, removed=None, prompt_sha256="cd", scoring="prior",
    listing="none", answer_form="text", max_new_tokens=4, seed=0, seconds={"answer": 1.0}, first_token=0.5,
    peak_memory=1, notes=(), versions={},
)  # fmt: skip


class Reader(HTMLParser):
    """Keeps elements with their attributes, rows of tables, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._cell = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data

    def only_picture(self) -> np.ndarray:
        (image,) = [attributes for tag, attributes in self.elements if tag == "img"]
        assert image["alt"]
        head, _, content = str(image["src"]).partition(",")
        assert head == "data:image/png;base64"
        return cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)


def test_a_decomposition_shows_its_strip_and_a_table(encode_clip: Encode, pan: Callable) -> None:
    """Everything moves right, which is red."""
    clip = encode_clip("a&b.mp4", list(pan(24, (192, 128), (4, 0))), options={"bf": "0"})
    reader = Reader(Video(clip).decompose(num_anchors=2)._repr_html_())
    picture = reader.only_picture().astype(int)
    red = (picture[..., 2] > 170) & (picture[..., :2].max(axis=2) < 60)
    assert red.sum() > 5000
    rows = dict(reader.rows)
    assert rows["video"] == f"{clip}: h264, 192 x 128, 0.96 s, 24 pictures"
    assert rows["grid"] == "16 rows x 24 columns of 8 x 8 pixels"
    assert rows["intervals"].startswith("2 with 22 steps, ")


def test_a_time_line_shows_its_picture_and_sentences(encode_clip: Encode) -> None:
    timeline = Video(encode_clip("a.mp4")).describe()
    reader = Reader(timeline._repr_html_())
    assert reader.only_picture().shape[1] > 500
    assert reader.text == "".join(timeline.sentences())


def test_an_answer_shows_what_was_read_when() -> None:
    reader = Reader(ANSWER._repr_html_())
    assert "<left> & right" in reader.text
    assert "Which way?" in reader.text
    strokes = [
        (float(one["x1"] or 0), one["stroke-width"])
        for tag, one in reader.elements
        if tag == "line" and "stroke-width" in one
    ]
    assert [x for x, width in strokes if width == "1"] == [250.0, 600.0, 750.0]
    assert [x for x, width in strokes if width == "3"] == [0.0, 500.0]
    assert "2 anchors (high) and 3 steps (low) that were read, from 0:00.0 to 0:04.0" in reader.text
    rows = dict(reader.rows)
    assert rows["prompt"] == "140 tokens: 12 text, 128 motion"
    assert not [tag for tag, one in reader.elements if {"src", "href"} & set(one)]


def test_an_answer_lists_its_options() -> None:
    choices = (ChoiceScore("<i>yes", -1.0, -1.0, 0.75), ChoiceScore("no", -2.0, -2.0, 0.25))
    reader = Reader(replace(ANSWER, choices=choices)._repr_html_())
    assert reader.rows[:3] == [["option", "probability"], ["<i>yes", "0.750"], ["no", "0.250"]]


@pytest.mark.parametrize("duration", [0.0, 4.0])
def test_an_answer_about_frames_alone(duration: float) -> None:
    """A picture lasts no time at all."""
    read = replace(READ, intervals=(), duration=duration, anchors=READ.anchors[:1])
    reader = Reader(replace(ANSWER, video=read)._repr_html_())
    assert ("svg" in [tag for tag, _ in reader.elements]) == (duration > 0)
    assert dict(reader.rows)["frames"] == "1: frame 0 at 0.00 s (keyframe)"


def test_a_summary_shows_its_table_and_tests() -> None:
    judged = [
        Judged(clip, 0, "direction", True, condition, chosen=int(condition == "no-motion" and clip < 3), answer=0)
        for clip in range(4)
        for condition in ("motion", "no-motion")
    ]
    reader = Reader(summarise(judged)._repr_html_())
    assert reader.rows[0] == ["right, %", "asked", "motion", "no-motion"]
    found = {row[0]: row[1:] for row in reader.rows[1:]}
    assert found["direction"][0] == "4"
    assert found["direction"][1].startswith("100.0 [")
    assert found["direction"][2].startswith("25.0 [")
    assert "only the first right 3, only the second 0, McNemar p = 0.25" in reader.text
