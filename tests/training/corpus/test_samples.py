"""What is learned of a sample, for each host's chat template; what doesn't fit or can't be read."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import never_starts
from himmel.data.samples import Medium, Sample, SampleTable, Turn
from himmel.data.samples.extract import ApartReader, Extraction, UnreadableError, VideoRead, extract
from himmel.data.samples.skipped import Skipped, SkippedList
from himmel.data.workers import Limits
from himmel.errors import HimmelError
from himmel.model.prompt import IGNORED
from himmel.training.corpus.batches import ConversationCollator
from himmel.training.corpus.reading import without_end
from himmel.training.corpus.samples import DrawnSamples, SampleLoader, TooLongError, VideoLoader
from reading_apart import read_or_hang
from shades import png
from tiny_hosts import Setup, host_config, host_folder, host_kind, host_setup, make_decomposition, qwen_config

__all__ = ["host_config", "host_folder", "host_kind", "host_setup", "qwen_config"]

TURNS = (
    Turn("What happens?", "A dog runs."),
    Turn("Where <|im_end|> to?", "To the left, I think."),
    Turn("Why?", "It is late."),
)
VIDEO = Sample("s", (Medium("video", "v.mp4"),), TURNS)


class MadeUp:
    """Gives every video as the same noise; those named "bad" can't be read."""

    def read(self, medium: Medium) -> VideoRead:
        if "bad" in medium.path:
            raise UnreadableError("crash", "reading it ended the process (SIGSEGV)")
        return VideoRead(make_decomposition((3, 2), seed=1))


def _loader(setup: Setup, folder: Path, *, max_tokens: int = 10_000, motion: bool = True) -> SampleLoader:
    skipped = SkippedList(folder / "skipped.jsonl")
    return SampleLoader(setup.processor, MadeUp(), max_tokens=max_tokens, motion=motion, skipped=skipped)


def _supervised(setup: Setup, labels: torch.Tensor) -> list[str]:
    """Texts of the runs of supervised tokens, special tokens and all."""
    texts, run = [], []
    for label in [*labels.tolist(), IGNORED]:
        if label != IGNORED:
            run.append(label)
        elif run:
            texts.append(setup.processor.host.tokenizer.decode(run))
            run = []
    return texts


def test_exactly_the_answers_and_their_ends_are_learned(host_setup: Setup, tmp_path: Path) -> None:
    collate = ConversationCollator(host_setup.processor)
    one = _loader(host_setup, tmp_path)(VIDEO)
    short = _loader(host_setup, tmp_path)(replace(VIDEO, turns=TURNS[:1]))
    inputs = collate([one, short])["inputs"]
    assert inputs.labels is not None
    tokenizer = host_setup.processor.host.tokenizer
    end = tokenizer.decode([host_setup.processor.host.chat.end])
    assert _supervised(host_setup, inputs.labels[0]) == [turn.answer + end for turn in TURNS]
    assert _supervised(host_setup, inputs.labels[1]) == [TURNS[0].answer + end]
    # A label is the token at its own place: shifting is the model's part.
    learned = inputs.labels != IGNORED
    assert torch.equal(inputs.labels[learned], inputs.input_ids[learned])
    # The same answers are where the host's own template puts them.
    messages = [
        {"role": role, "content": text}
        for turn in TURNS
        for role, text in (("user", turn.question.replace("<|im_end|>", "")), ("assistant", turn.answer))
    ]
    whole = str(tokenizer.apply_chat_template(_in_parts(host_setup, messages), tokenize=False))
    for turn in TURNS:
        assert turn.answer + end in whole
    assert host_setup.model(inputs).loss.isfinite()


def test_a_conversation_is_the_hosts_own_template_with_nothing_else_learned(host_setup: Setup, tmp_path: Path) -> None:
    turns = (TURNS[0], Turn("Where to?", "To the left, I think."), TURNS[2])
    shown = _loader(host_setup, tmp_path)(Sample("t", (), turns))
    inputs = ConversationCollator(host_setup.processor)([shown])["inputs"]
    assert inputs.labels is not None
    host = host_setup.processor.host
    messages = [
        {"role": role, "content": text}
        for turn in turns
        for role, text in (("user", turn.question), ("assistant", turn.answer))
    ]
    if host.name == "nano":
        messages.insert(0, {"role": "system", "content": "You answer questions about a video."})
    whole = str(host.tokenizer.apply_chat_template(_in_parts(host_setup, messages), tokenize=False))
    ids, labels = inputs.input_ids[0].tolist(), inputs.labels[0].tolist()
    # The template ends with a new line, which is no part of the answer.
    assert host.tokenizer.decode(ids) == whole.rstrip("\n")
    given, end = whole.rstrip("\n"), host.tokenizer.decode([host.chat.end])
    for turn in turns:
        given = given.replace(turn.answer + end, "", 1)
    parts = [
        host.tokenizer.decode([one for one, label in zip(ids, labels, strict=True) if (label != IGNORED) == learned])
        for learned in (False, True)
    ]
    assert parts == [given, "".join(turn.answer + end for turn in turns)]


def _in_parts(setup: Setup, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Templates of hosts that know pictures take typed parts."""
    if setup.processor.host.name == "nano":
        return messages
    return [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in messages]


def test_pictures_and_plain_text_are_batches_of_their_own(host_setup: Setup, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(10))
    loader = _loader(host_setup, tmp_path)
    collate = ConversationCollator(host_setup.processor)
    pictures = Sample("p", (Medium("image", str(tmp_path / "a.png")),) * 2, TURNS[:1])
    text = Sample("t", (), TURNS[:2])
    shown = collate([loader(pictures), loader(replace(pictures, media=pictures.media[:1]))])["inputs"]
    counts = host_setup.processor.count_tokens(shown)
    assert shown.motion is None
    assert counts["motion"] == 0
    assert counts["image"] > 0
    blank = collate([loader(text), loader(text)])["inputs"]
    assert not blank.images
    assert host_setup.processor.count_tokens(blank)["image"] == 0
    for inputs in (shown, blank):
        loss = host_setup.model(inputs).loss
        assert loss.isfinite()
        assert loss.requires_grad


def test_a_budget_drops_whole_turns_and_cuts_no_picture(host_setup: Setup, tmp_path: Path) -> None:
    collate = ConversationCollator(host_setup.processor)
    whole = _loader(host_setup, tmp_path)(VIDEO)
    lengths = host_setup.processor.lengths_by_turn(whole.sample, whole.turns)
    for count in (1, 2, 3):
        inputs = collate([replace(whole, turns=whole.turns[:count])])["inputs"]
        assert inputs.input_ids.shape[1] == lengths[count - 1]
        for most in (lengths[count - 1], lengths[count - 1] + 1):
            fitted = _loader(host_setup, tmp_path, max_tokens=most)(VIDEO)
            assert len(fitted.turns) == count
            fits = collate([fitted])["inputs"]
            visual = ("image", "motion")
            shown, all_of_it = (host_setup.processor.count_tokens(one) for one in (fits, inputs))
            assert [shown[kind] for kind in visual] == [all_of_it[kind] for kind in visual]
    with pytest.raises(TooLongError, match=f"more than {lengths[0] - 1:,} tokens"):
        _loader(host_setup, tmp_path, max_tokens=lengths[0] - 1)(VIDEO)
    said = [entry.why for entry in SkippedList(tmp_path / "skipped.jsonl").entries()]
    assert said == ["2 of its 3 turns are dropped"]


@pytest.fixture(scope="module")
def setup(tiny_host: Callable[[str], str]) -> Setup:
    from tiny_hosts import build

    return build(qwen_config(tiny_host("qwen2_5_vl")))


def test_subtitles_come_before_the_question_or_not_at_all(setup: Setup, tmp_path: Path) -> None:
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHello there\n")
    sample = replace(VIDEO, turns=TURNS[:1], subtitles=str(tmp_path / "s.srt"))
    shown = _loader(setup, tmp_path)(sample)
    assert shown.turns[0][0] == "This video's subtitles are listed below: \nHello there\nWhat happens?"
    plain = setup.processor.lengths_by_turn(shown.sample, [("What happens?", "A dog runs.")])[0]
    assert _loader(setup, tmp_path, max_tokens=plain)(sample).turns[0][0] == "What happens?"
    (entry,) = SkippedList(tmp_path / "skipped.jsonl").entries()
    assert (entry.what, entry.cause) == ("s", "long")


def _table(paths: list[str]) -> SampleTable:
    return SampleTable.of((0, Sample(path, (Medium("video", path),), (Turn("Which?", path),))) for path in paths)


def test_what_cannot_be_used_is_replaced_the_same_way_each_time(setup: Setup, tmp_path: Path) -> None:
    table = _table(["a", "bad", "b", "c"])
    order = np.array([0, 1, 2, 3, 1])

    def answers(name: str) -> list[str | None]:
        skipped = SkippedList(tmp_path / name)
        loader = SampleLoader(setup.processor, MadeUp(), max_tokens=9999, motion=True, skipped=skipped)
        items = DrawnSamples(table, order, loader, seed=3, skipped=skipped)
        return [items[place].turns[0][1] for place in range(len(items))]

    first = answers("one.jsonl")
    assert first == answers("two.jsonl") == answers("one.jsonl")
    assert [first[0], first[2], first[3]] == ["a", "b", "c"]
    assert "bad" not in first
    assert SkippedList(tmp_path / "one.jsonl").entries() == [
        Skipped("bad", "crash", "reading it ended the process (SIGSEGV)")
    ]


def test_what_is_wrong_with_one_part_is_not_held_against_the_file(setup: Setup, tmp_path: Path) -> None:
    """Otherwise what is learned would depend on which of a file's samples a process came upon first."""
    (tmp_path / "good.png").write_bytes(png(10))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    good, bad = (Medium("image", str(tmp_path / f"{name}.png")) for name in ("good", "bad"))

    class EndsAtThree(MadeUp):
        def read(self, medium: Medium) -> VideoRead:
            if medium.start is not None and medium.start >= 3:
                raise UnreadableError("refused", "it ends before")
            return super().read(medium)

    samples = [
        Sample("late", (Medium("video", "v.mp4", 5.0, 6.0),), TURNS[:1]),
        Sample("silent", (Medium("video", "v.mp4"),), TURNS[:1], subtitles=str(tmp_path / "gone.srt")),
        Sample("two", (good, bad), TURNS[:1]),
        Sample("whole", (Medium("video", "v.mp4"),), TURNS[:1]),
        Sample("one", (good,), TURNS[:1]),
    ]
    skipped = SkippedList(tmp_path / "skipped.jsonl")
    loader = SampleLoader(setup.processor, EndsAtThree(), max_tokens=9999, motion=True, skipped=skipped)
    taken: list[str] = []

    def make(sample: Sample) -> None:
        loader(sample)
        taken.append(sample.id)

    items = DrawnSamples(SampleTable.of((0, one) for one in samples), np.arange(5), make, seed=0, skipped=skipped)
    for place in range(5):
        items[place]
    assert taken == ["whole", "whole", "one", "whole", "one"]
    assert {(entry.what, entry.cause) for entry in skipped.entries()} == {
        ("v.mp4#t=5,6", "refused"),
        (str(tmp_path / "gone.srt"), "subtitles"),
        (str(tmp_path / "bad.png"), "picture"),
    }


def test_a_sample_that_the_host_refuses_is_listed_by_its_id(tmp_path: Path) -> None:
    def make(sample: Sample) -> str:
        if sample.id == "0":
            raise ValueError("absolute aspect ratio must be\nsmaller than 200")
        return sample.id

    skipped = SkippedList(tmp_path / "skipped.jsonl")
    items = DrawnSamples(_table(["0", "1"]), np.array([0, 1]), make, seed=0, skipped=skipped)
    assert [items[0], items[1]] == ["1", "1"]
    assert skipped.entries() == [Skipped("0", "sample", "absolute aspect ratio must be smaller than 200")]


def test_when_nothing_can_be_used_one_sentence_says_so(setup: Setup, tmp_path: Path) -> None:
    skipped = SkippedList(tmp_path / "skipped.jsonl")
    loader = SampleLoader(setup.processor, MadeUp(), max_tokens=9999, motion=True, skipped=skipped)
    items = DrawnSamples(_table(["bad1", "bad2"]), np.array([0]), loader, seed=0, skipped=skipped)
    with pytest.raises(HimmelError, match=r"None of 32 samples .* can be used.*skipped.jsonl"):
        items[0]


def test_a_video_without_its_last_picture_loses_its_last_interval() -> None:
    found = make_decomposition((3, 2, 1), seed=1)
    shorter = without_end(VideoRead(found))
    assert len(shorter.decomposition.anchors) == len(shorter.decomposition.intervals) == 2
    assert shorter.last is found.anchors[2].image
    with pytest.raises(UnreadableError, match="single anchor"):
        without_end(VideoRead(make_decomposition((3,), seed=1)))


def test_still_intervals_are_told_from_those_that_change(setup: Setup) -> None:
    class Still:
        def read(self, medium: Medium) -> VideoRead:
            del medium
            found = make_decomposition((3, 2), seed=1)
            same = replace(found.anchors[1], image=found.anchors[0].image)
            return VideoRead(replace(found, anchors=(found.anchors[0], same)), 255 - found.anchors[0].image)

    assert VideoLoader(setup.processor, Still())(VIDEO).changes.tolist() == [False, True]


@pytest.mark.parametrize("options", [{"crf": "23"}, {"crf": "32"}])
def test_a_walker_is_told_from_coding_noise(
    options: dict[str, str], encode_clip: Callable[..., Path], pan: Callable[..., Any], setup: Setup
) -> None:
    """One hundredth of a smooth picture moves, or nothing of a rough one."""
    rough = next(pan(1, (320, 192)))
    smooth = cv2.GaussianBlur(rough, (0, 0), 12)

    def walk() -> Iterator[Any]:
        for k in range(50):
            picture = smooth.copy()
            picture[60:90, 40 + 4 * k : 60 + 4 * k] += 40
            yield picture

    class Real:
        def read(self, medium: Medium) -> VideoRead:
            return extract(Extraction(medium, {"num_anchors": 4}, last=True))

    found = {}
    for name, pictures in (("still", (rough for _ in range(50))), ("walk", walk())):
        path = encode_clip(f"{name}.mp4", pictures, options={"g": "10", "preset": "veryfast", **options})
        found[name] = VideoLoader(setup.processor, Real())(Sample("s", (Medium("video", str(path)),), TURNS))
    assert found["still"].changes.tolist() == [False] * 4
    assert found["walk"].changes.tolist() == [True] * 4


def test_a_stretch_of_a_video_and_its_last_picture_are_read_apart(encode_clip: Callable[..., Path], pan: Any) -> None:
    path = encode_clip("a.mp4", pan(20, (96, 64)), options={"g": "5"})
    reader = ApartReader(Limits(seconds=60))
    whole = reader.read(Extraction(Medium("video", str(path)), {"num_anchors": 2}, last=True))
    part = reader.read(Extraction(Medium("video", str(path), 0.4, 0.8), {"num_anchors": 2}, last=True))
    assert (whole.decomposition.num_frames, part.decomposition.num_frames) == (20, 10)
    assert whole.last is not None
    assert whole.last.shape == (64, 96, 3)


def test_a_video_is_read_on_one_thread(encode_clip: Callable[..., Path], pan: Any) -> None:
    """On a machine of 128 cores, the threads of a pool would leave a video a gigabyte less."""
    path = encode_clip("a.mp4", pan(20, (96, 64)), options={"g": "5"})
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        extract(Extraction(Medium("video", str(path)), {"num_anchors": 2}))
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


class Apart:
    """Reads videos in a process of its own, which hangs at some and crashes at others."""

    def __init__(self, seconds: float) -> None:
        self._reader = ApartReader(Limits(seconds=seconds), work=read_or_hang)

    def read(self, medium: Medium) -> VideoRead:
        return self._reader.read(Extraction(medium, {"num_anchors": 2, "steps_per_interval": 2}))


@pytest.mark.slow
def test_a_video_that_hangs_or_crashes_costs_itself_in_a_loaders_worker(
    encode_clip: Callable[..., Path], pan: Any, setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = str(encode_clip("a.mp4", pan(20, (96, 64)), options={"g": "5"}))
    begun = tmp_path / "begun"
    monkeypatch.setenv("BEGUN", str(begun))
    skipped = SkippedList(tmp_path / "skipped.jsonl")
    loader = SampleLoader(setup.processor, Apart(3), max_tokens=9999, motion=True, skipped=skipped)
    table = _table([good, "hangs.mp4", "crashes.mp4"])
    items = DrawnSamples(table, np.array([0, 1, 2, 0, 1, 1]), loader, seed=0, skipped=skipped)
    batches = list(DataLoader(items, batch_size=2, collate_fn=ConversationCollator(setup.processor), num_workers=1))
    assert len(batches) == 3
    # One that is known to hang is not waited for again.
    assert begun.read_text().split() == ["hangs.mp4", "crashes.mp4"]
    assert {(entry.what, entry.cause, entry.why) for entry in skipped.entries()} == {
        ("hangs.mp4", "time", "it took more than 3 seconds"),
        ("crashes.mp4", "crash", "reading it ended the process (SIGKILL)"),
    }


def test_a_reader_that_cannot_be_started_is_held_against_no_sample(setup: Setup, tmp_path: Path) -> None:
    class Unstarted:
        def __init__(self) -> None:
            self._reader = ApartReader(Limits(seconds=60), work=never_starts.work)

        def read(self, medium: Medium) -> VideoRead:
            return self._reader.read(Extraction(medium))

    skipped = SkippedList(tmp_path / "skipped.jsonl")
    loader = SampleLoader(setup.processor, Unstarted(), max_tokens=9999, motion=True, skipped=skipped)
    with pytest.raises(HimmelError, match="A process to read files with cannot be started"):
        DrawnSamples(_table(["a", "b"]), np.array([0]), loader, seed=0, skipped=skipped)[0]
    assert not skipped.entries()
