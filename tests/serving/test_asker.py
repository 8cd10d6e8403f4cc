"""What harnesses ask, as one video or picture and a text."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import himmel
from himmel.errors import UsageError, VideoError
from himmel.methods.question import Question
from himmel.serving.asker import Asked, Asker, Part, cut
from himmel.video import Video

Encode = Callable[..., Path]


@pytest.fixture(scope="module")
def asker(tiny_host: Callable[[str], str]) -> Asker:
    host = tiny_host("qwen2_5_vl")
    return Asker(method="dense", options={"num_frames": 3}, host=host, adapter=None, device="cpu", threads=1)


def test_the_tasks_text_is_the_prompt(asker: Asker, encode_clip: Encode) -> None:
    clip = encode_clip("a.mp4", num_frames=8)
    text = "Which way?\nA. left\nB. right\nAnswer with the letter."
    found = asker.answer([Asked.of([Part("video", str(clip)), Part("text", text)])], max_new_tokens=4)[0]
    assert isinstance(found, himmel.Answer)
    own = asker.session.ask(clip, text, method="dense", num_frames=3, max_new_tokens=4)
    assert (found.question, found.text, found.prompt_sha256) == (text, own.text, own.prompt_sha256)


def test_texts_become_one_and_rounds_keep_the_video() -> None:
    first = Asked.of([Part("text", "Look."), Part("video", "a.mp4"), Part("text", "What moves?")])
    assert first == Asked(Part("video", "a.mp4"), "Look.\nWhat moves?")
    assert Asked.of([Part("text", "Where to?")], before=first) == Asked(first.part, "Where to?")


@pytest.mark.parametrize("count", [0, 2])
def test_one_video_or_picture_a_question(count: int) -> None:
    with pytest.raises(UsageError, match=f"comes with {count} videos or pictures"):
        Asked.of([*[Part("video", "a.mp4")] * count, Part("text", "Which?")])


def test_a_stretch_of_a_video(encode_clip: Encode) -> None:
    clip = encode_clip("a.mp4", num_frames=50)
    found = Asked(Part("video", str(clip), 0.4, 1.2), "What?").open()
    assert isinstance(found, Video)
    assert (found.num_frames, found.duration) == (20, pytest.approx(0.8))
    whole = Asked(Part("video", str(clip)), "What?").open()
    assert whole == str(clip)
    with pytest.raises(VideoError, match=r"no stretch of this video; it lasts 2\.000 seconds"):
        Asked(Part("video", str(clip), 5.0, 6.0), "What?").open()
    rest = Asked(Part("video", str(clip), 1.6), "What?").open()
    assert isinstance(rest, Video)
    assert rest.num_frames == 10


def test_pictures_by_path_and_as_they_are(asker: Asker, tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    picture.save(tmp_path / "a.png")
    asked = [Asked(Part("image", value), "What is it?") for value in (picture, str(tmp_path / "a.png"))]
    one, other = asker.answer(asked, max_new_tokens=3)
    assert isinstance(one, himmel.Answer)
    assert isinstance(other, himmel.Answer)
    assert one.text == other.text
    assert one.video.sha256 == other.video.sha256


def test_a_broken_file_spoils_its_own_answer_alone(asker: Asker, tmp_path: Path, encode_clip: Encode) -> None:
    clip = encode_clip("a.mp4", num_frames=8)
    broken, picture = tmp_path / "b.mp4", tmp_path / "c.png"
    broken.write_bytes(b"no video at all")
    picture.write_bytes(b"no picture at all")
    parts = [
        Part("video", str(clip)),
        Part("video", str(broken)),
        Part("video", str(broken), 1.0, 2.0),
        Part("image", str(picture)),
        Part("video", str(clip)),
    ]
    found = asker.answer([Asked(part, "What moves?") for part in parts], max_new_tokens=2)
    assert [isinstance(one, VideoError) for one in found] == [False, True, True, True, False]
    assert "b.mp4" in str(found[1])
    assert "c.png" in str(found[3])


def test_options_are_scored(asker: Asker, encode_clip: Encode) -> None:
    clip = encode_clip("a.mp4", num_frames=8)
    question = Question("Which way?", ("left", "right"), "raw")
    found = asker.answer([Asked(Part("video", str(clip)), "Which way?")], max_new_tokens=1, questions=[question])[0]
    assert isinstance(found, himmel.Answer)
    own = asker.session.ask(clip, "Which way?", method="dense", num_frames=3, choices=["left", "right"], scoring="raw")
    assert found.choices == own.choices


@pytest.mark.parametrize(
    ("options", "told"), [({"num_frame": 3}, "has no option 'num_frame'"), ({"num_frames": 0}, "num_frames=0")]
)
def test_options_that_do_not_exist(options: dict[str, int], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Asker(method="dense", options=options, host=None, adapter=None, device="cpu")


@pytest.mark.parametrize(
    ("text", "until", "left"),
    [
        ("A. left\n\nBecause", ("\n\n",), "A. left"),
        ("A", ("\n", "."), "A"),
        ("a.b\nc", ("\n", "."), "a"),
        ("ab", ("",), "ab"),
    ],
)
def test_an_answer_ends_at_the_first_stop(text: str, until: tuple[str, ...], left: str) -> None:
    assert cut(text, until) == left


def test_where_nothing_can_be_removed_all_of_the_prompt_is_asked(
    tiny_host: Callable[[str], str], encode_clip: Encode
) -> None:
    """EVS always keeps the first frame, and one video has no other."""
    host = tiny_host("qwen2_5_vl")
    evs = Asker(method="evs", options={"num_frames": 3}, host=host, adapter=None, device="cpu", threads=1)
    single = Asked(Part("video", str(encode_clip("one.mp4", num_frames=1))), "What?")
    several = Asked(Part("video", str(encode_clip("many.mp4", num_frames=8))), "What?")
    for _ in range(4):
        (answer,) = evs.answer([single], max_new_tokens=2)
        assert isinstance(answer, himmel.Answer)
        assert answer.removed is not None
        assert answer.removed.before == answer.removed.after
    with pytest.raises(UsageError, match=r"evs with keep=0\.25 removed none"):
        evs.answer([single], max_new_tokens=2)
    # Once it removes something of any, it is that prompt's own fault.
    first, second = evs.answer([several, single], max_new_tokens=2)
    assert isinstance(first, himmel.Answer)
    assert isinstance(second, himmel.Answer)
    assert first.removed is not None
    assert first.removed.before > first.removed.after
    plain = evs.session.ask(str(single.part.value), "What?", method="dense", num_frames=3, max_new_tokens=2)
    assert (second.text, second.prompt_sha256) == (plain.text, plain.prompt_sha256)
