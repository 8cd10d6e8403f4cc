"""The real vLLM with the plug-in, against himmel's own model: same checkpoint, same video, same questions.

vLLM brings its own torch; CONTRIBUTING.md says how an environment for these tests is made.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.vllm_agreement import QUESTIONS, ask_vllm, chat_prompt, compare, open_vllm

from himmel.model import HimmelForConditionalGeneration, HimmelProcessor
from himmel.serving.vllm import layout
from himmel.video import Video

pytest.importorskip("vllm", reason="vLLM is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Both compute in float32, in another order.
TOLERANCE = 2e-5
Encode = Callable[..., Path]


@pytest.fixture(scope="module")
def clip(write_clip: Encode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "pan.mp4", "pan", num_frames=60)


@pytest.fixture(scope="module")
def ours(merged: Path) -> HimmelForConditionalGeneration:
    return HimmelForConditionalGeneration.from_pretrained(merged)


@pytest.fixture(scope="module")
def llm(merged: Path, clip: Path) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        # In this process, on one thread, with a small cache.
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        patch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        yield open_vllm(merged, allowed_local_media_path=str(clip.parent), limit_mm_per_prompt={"video": 2})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "anchors"},
        {"placement": "attention", "num_anchors": 2, "anchor_mode": "exact"},
        {"placement": "chunked", "times": "text", "tokens_per_interval": 3, "accumulate": True},
        {"placement": "prefix", "backend": "proxy"},
    ],
    ids=str,
)
def test_vllm_answers_as_himmel_does(
    llm: Any, ours: HimmelForConditionalGeneration, clip: Path, options: dict[str, Any]
) -> None:
    for found in compare(ours, llm, clip, QUESTIONS, tokens=8, options=options):
        assert found.same_prompt
        assert found.same_positions
        assert found.same_answer
        assert found.difference < TOLERANCE
        if options.get("method") != "anchors":
            # Far from the tolerance: tokens at wrong places, or of another video, would be seen.
            assert found.effect_of_motion > 100 * TOLERANCE


def test_a_video_may_come_in_any_form(llm: Any, ours: HimmelForConditionalGeneration, clip: Path) -> None:
    processor = HimmelProcessor(ours.config, ours.host)
    decomposition = processor.read(Video(clip))
    forms = [clip, str(clip), clip.read_bytes(), Video(clip), decomposition, processor.prepare(decomposition)]
    first, *others = [ask_vllm(llm, form, QUESTIONS[:1], 2, {})[0] for form in forms]
    for other in others:
        assert other.prompt == first.prompt
        assert torch.equal(other.logs, first.logs)


def test_a_stretch_is_another_video(llm: Any, clip: Path) -> None:
    whole = ask_vllm(llm, clip, QUESTIONS[:1], 1, {})[0]
    stretch = ask_vllm(llm, Video(clip).between(1.0, 2.0), QUESTIONS[:1], 1, {})[0]
    finite = whole.logs.isfinite()
    assert float((stretch.logs - whole.logs)[finite].abs().max()) > 100 * TOLERANCE


def test_what_cannot_be_served_is_refused_and_the_next_is_answered(llm: Any, clip: Path) -> None:
    prompt = chat_prompt(llm.get_tokenizer(), QUESTIONS[0])
    for video, options, said in (
        (b"no video at all", {}, "cannot be read as a video"),
        (clip.with_name("missing.mp4"), {}, "There is no file"),
        (3, {}, "A int cannot be read as a video"),
        (clip, {"method": "dense"}, "'dense' is not served with vLLM"),
        (clip, {"num_anchors": 0}, "num_anchors=0"),
    ):
        with pytest.raises(ValueError, match=said):
            llm.generate(
                [{"prompt": prompt, "multi_modal_data": {"video": video}, "mm_processor_kwargs": options}],
                use_tqdm=False,
            )
    assert ask_vllm(llm, clip, QUESTIONS[:1], 1, {})[0].said


def test_two_videos_in_one_prompt_each_take_their_own_place(
    llm: Any, ours: HimmelForConditionalGeneration, clip: Path
) -> None:
    stretch = Video(clip).between(1.0, 2.0)
    text = chat_prompt(llm.get_tokenizer(), QUESTIONS[0])
    place = "<|vision_start|><|video_pad|><|vision_end|>"
    prompt = {"prompt": text.replace(place, f"{place} and {place}"), "multi_modal_data": {"video": [clip, stretch]}}
    ids = llm.generate([prompt], use_tqdm=False)[0].prompt_token_ids
    processor = HimmelProcessor(ours.config, ours.host)
    parts = [
        layout.lay_out_visual(processor, processor.prepare(processor.read(video))).ids.tolist()
        for video in (Video(clip), stretch)
    ]
    joint = ours.host.encode_text(" and ")
    head = list(ours.host.chat.head)
    assert ids[: len(head) + len(parts[0]) + len(joint) + len(parts[1])] == [*head, *parts[0], *joint, *parts[1]]


def test_chat_messages_name_a_file(llm: Any, ours: HimmelForConditionalGeneration, clip: Path) -> None:
    from vllm import SamplingParams

    parts = [
        {"type": "video_url", "video_url": {"url": clip.as_uri()}},
        {"type": "text", "text": QUESTIONS[0]},
    ]
    sampling = SamplingParams(temperature=0, max_tokens=8)
    said = llm.chat([{"role": "user", "content": parts}], sampling, use_tqdm=False)[0]
    own = ask_vllm(llm, clip, QUESTIONS[:1], 8, {})[0]
    assert said.prompt_token_ids == own.prompt
    assert list(said.outputs[0].token_ids) == own.said


def test_a_second_question_reads_nothing_again(llm: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from himmel.serving.vllm import processing

    read = []

    def counting(video: Video, *others: Any) -> Any:
        read.append(video)
        return prepare(video, *others)

    prepare = processing.prepare_video
    monkeypatch.setattr(processing, "prepare_video", counting)
    stretch = Video(clip).between(0.4, 2.2)
    for question in QUESTIONS:
        ask_vllm(llm, stretch, [question], 1, {})
    assert len(read) == 1
    ask_vllm(llm, stretch, QUESTIONS[:1], 1, {"num_anchors": 2})
    assert len(read) == 2
