"""Pages with a scrubber: read by an HTML parser, their pictures decoded and compared with what is known."""

import base64
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from himmel.errors import UsageError
from himmel.video import Video, draw_page
from stamps import read_stamp, stamp

Encode = Callable[..., Path]


class Reader(HTMLParser):
    """Keeps a page's attributes, its text, and the content of its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: dict[str, list[str]] = {}
        self._inside: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "link", "img", "input"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        # Elements that are closed in the order in which they were opened.
        if tag in self._inside:
            assert self._inside.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self._inside[-1] if self._inside else "", []).append(data)


def read(path: Path) -> tuple[Reader, list[dict[str, Any]]]:
    reader = Reader(path.read_text(encoding="utf-8"))
    return reader, json.loads(next(text for text in reader.text["script"] if text.startswith("[")))


def picture(address: str) -> npt.NDArray[np.uint8]:
    """RGB of an address that holds a picture."""
    head, _, content = address.partition(",")
    assert head in ("data:image/jpeg;base64", "data:image/png;base64")
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def test_nothing_is_asked_for_outside_the_page(encode_clip: Encode, tmp_path: Path) -> None:
    draw_page(Video(encode_clip("a.mp4")), tmp_path / "a.html")
    reader, moments = read(tmp_path / "a.html")
    addresses = [value for _, name, value in reader.attributes if name in ("src", "href", "srcset", "action", "poster")]
    assert len(addresses) >= 4
    assert all(address.startswith("data:") for address in addresses)
    assert all(
        address is None or address.startswith("data:")
        for one in moments
        for address in (one["picture"], one["motion"], one["residual"])
    )
    program = "".join(text for text in reader.text["script"] if not text.startswith("["))
    style = "".join(reader.text["style"])
    for word in ("http:", "https:", "//", "url(", "@import", "fetch", "XMLHttpRequest", "import("):
        assert word not in style
        assert word not in program


def test_moments_are_the_anchors_and_steps_in_order(encode_clip: Encode, tmp_path: Path) -> None:
    """Each picture has its number stamped on it, so that the right one can be told."""
    clip = encode_clip("a.mp4", [stamp(k) for k in range(40)], options={"g": "10", "crf": "10"})
    video = Video(clip)
    page = draw_page(video, tmp_path / "a.html", num_anchors=3, steps_per_interval=4)
    _, moments = read(tmp_path / "a.html")
    decomposition = video.decompose(num_anchors=3, steps_per_interval=4)
    wanted, anchors = [], set()
    for anchor, interval in zip(decomposition.anchors, decomposition.intervals, strict=True):
        wanted += [anchor.frame, *interval.frames.tolist()]
        anchors.add(anchor.frame)
    assert page.moments == len(moments) == len(wanted)
    assert [read_stamp(picture(one["picture"])) for one in moments] == wanted
    assert [one["x"] for one in moments] == pytest.approx([1000 * frame / 40 for frame in wanted], abs=0.01)
    for frame, one in zip(wanted, moments, strict=True):
        assert (one["motion"] is None) == (one["residual"] is None) == (frame in anchors)
        assert ("anchor of interval" in one["says"]) == (frame in anchors)


def test_motion_has_the_colour_of_its_direction(encode_clip: Encode, pan: Callable, tmp_path: Path) -> None:
    """Everything moves 4 pixels to the left a frame: cyan."""
    clip = encode_clip("a.mp4", list(pan(16, (320, 192), (-4, 0))), options={"bf": "0"})
    draw_page(Video(clip), tmp_path / "a.html", num_anchors=1, steps_per_interval=3)
    _, moments = read(tmp_path / "a.html")
    shown = picture(moments[2]["motion"])
    assert shown.shape == (192, 320, 3)
    red, green, blue = np.median(shown[40:150, 40:250].reshape(-1, 3), axis=0)
    assert red < 60
    assert min(green, blue) > 180
    told = re.search(r"full colour is ([0-9.]+) px a frame", (tmp_path / "a.html").read_text())
    assert told is not None
    assert float(told.group(1)) == pytest.approx(4, rel=0.2)


def test_a_stretch_names_the_times_of_the_video(encode_clip: Encode, tmp_path: Path) -> None:
    page = draw_page(Video(encode_clip("a.mp4")), tmp_path / "a.html", start=0.8, end=1.2, num_anchors=1)
    reader, moments = read(tmp_path / "a.html")
    assert (page.start, page.end) == pytest.approx((0.8, 1.2))
    assert moments[0]["says"].startswith("0:00.8: anchor")
    assert moments[0]["x"] == 0
    assert reader.text["span"][-7:] != []
    assert "0:01.2" in "".join(reader.text["span"])


def test_cuts_and_anchors_are_on_the_line(encode_clip: Encode, pan: Callable, tmp_path: Path) -> None:
    pictures = [*pan(45, (192, 128), (1, 0)), *pan(40, (192, 128), (1, 0), seed=9)]
    page = draw_page(Video(encode_clip("a.mp4", pictures)), tmp_path / "a.html", num_anchors=4)
    assert page.cuts == pytest.approx((1.8,))
    reader, _ = read(tmp_path / "a.html")
    kinds = [value for tag, name, value in reader.attributes if (tag, name) == ("line", "class")]
    assert (kinds.count("cut"), kinds.count("anchor"), kinds.count("bits")) == (1, 4, page.moments)


def test_a_single_picture_and_a_name_full_of_signs(encode_clip: Encode, tmp_path: Path) -> None:
    page = draw_page(Video(encode_clip('<b>&$title".mp4', num_frames=1)), tmp_path / "a.html")
    reader, moments = read(tmp_path / "a.html")
    assert page.moments == len(moments) == 1
    assert reader.text["title"] == ['<b>&$title".mp4']
    assert "b" not in reader.text


def test_everything_has_a_text_for_those_who_cannot_see_it(encode_clip: Encode, tmp_path: Path) -> None:
    draw_page(Video(encode_clip("a.mp4", num_frames=10)), tmp_path / "a.html")
    reader, _ = read(tmp_path / "a.html")
    images = [name for tag, name, value in reader.attributes if tag == "img" and value and name == "alt"]
    assert len(images) == sum(1 for tag, name, _ in reader.attributes if tag == "img" and name == "alt") == 5
    labelled = {tag for tag, name, value in reader.attributes if name == "aria-label" and value}
    assert labelled == {"svg", "input"}


def test_more_moments_than_a_page_can_hold_are_refused(encode_clip: Encode, tmp_path: Path) -> None:
    video = Video(encode_clip("a.mp4", num_frames=3))
    with pytest.raises(UsageError, match="64 anchors with 16 steps each are more than the 1024 moments"):
        draw_page(video, tmp_path / "a.html", num_anchors=64)
    assert not (tmp_path / "a.html").exists()
