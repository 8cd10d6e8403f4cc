"""Without motion, prompts, pictures, positions and logits are those of transformers' own processors and classes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoTokenizer,
    GotOcr2ImageProcessorPil,
    InternVLProcessor,
    LlavaOnevisionImageProcessorPil,
    LlavaOnevisionProcessor,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessorPil,
    Qwen3VLProcessor,
)

from himmel.hosts import Host
from himmel.model.inputs import ModelInputs
from tiny_hosts import HOST_KINDS, Setup, build, make_decomposition, qwen_config

ASK = [("What moves?", None)]
PUBLISHED = [*(kind for kind in HOST_KINDS if kind != "nano"), "qwen3_vl_moe"]
PIXELS = {"qwen2_5_vl": 28**2, "qwen3_vl": 32**2, "qwen3_vl_moe": 32**2}
PROCESSORS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "qwen2_5_vl": (Qwen2_5_VLProcessor, Qwen2VLImageProcessorPil, {}),
    "qwen3_vl": (Qwen3VLProcessor, Qwen2VLImageProcessorPil, {}),
    "qwen3_vl_moe": (Qwen3VLProcessor, Qwen2VLImageProcessorPil, {}),
    "internvl": (InternVLProcessor, GotOcr2ImageProcessorPil, {"image_seq_length": 4}),
    "llava_onevision": (
        LlavaOnevisionProcessor,
        LlavaOnevisionImageProcessorPil,
        {"num_image_tokens": 9, "vision_feature_select_strategy": "full"},
    ),
}


def own_processor(host: Host) -> Any:
    """The family's processor without its video processor, which needs torchvision and is not asked for anything."""
    base, image_processor, options = PROCESSORS[host.name]

    class Processor(base):  # type: ignore[misc, valid-type]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument_name == "video_processor":
                return None
            return super().check_argument_for_proper_class(argument_name, argument)

    return Processor(
        image_processor=image_processor.from_pretrained(host.folder),
        tokenizer=AutoTokenizer.from_pretrained(host.folder),
        video_processor=None,
        chat_template=host.tokenizer.chat_template,
        **options,
    )


def own_inputs(processor: Any, pictures: list[np.ndarray]) -> dict[str, Any]:
    question = {"type": "text", "text": ASK[0][0]}
    messages = [{"role": "user", "content": [*({"type": "image"} for _ in pictures), question]}]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    # One list of pictures for each text: LLaVA-OneVision shows several otherwise than one.
    return dict(processor(text=[text], images=[pictures], return_tensors="pt"))


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_large_budget_leaves_a_single_picture_as_the_family_shows_it(
    kind: str, tiny_host: Callable[[str], str]
) -> None:
    """All tiles and small copies included: 250 x 70 pixels are several tiles of the tiny hosts."""
    setup = build(qwen_config(tiny_host(kind), max_anchor_tokens=200))
    assert_as_the_family_does(setup, own_processor(setup.model.host), anchors=1)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_small_budget_is_the_familys_own_limit(kind: str, tiny_host: Callable[[str], str]) -> None:
    """LLaVA-OneVision shows several pictures whole whatever their size, so there is nothing to set."""
    setup = build(qwen_config(tiny_host(kind), max_anchor_tokens=12))
    processor = own_processor(setup.model.host)
    if kind in PIXELS:
        processor.image_processor.size = {"shortest_edge": 4 * PIXELS[kind], "longest_edge": 12 * PIXELS[kind]}
    if kind == "internvl":
        processor.image_processor.max_patches = 2
    assert_as_the_family_does(setup, processor, anchors=2)


def test_llava_frames_are_videos_of_one_frame(tiny_host: Callable[[str], str]) -> None:
    setup = build(qwen_config(tiny_host("llava_onevision"), max_anchor_tokens=9))
    host = setup.model.host
    decomposition = make_decomposition((2, 2), size=(150, 70))
    given = setup.processor.encode([setup.processor.prepare(decomposition)], [ASK], motion=False)
    video = host.config.video_token_id
    ids = given.input_ids.where(given.input_ids != host.image_token_id, video)
    # Squares, whatever the shape was, as the family's video processor makes them.
    squares = [
        Image.fromarray(anchor.image).resize((42, 42), Image.Resampling.BICUBIC) for anchor in decomposition.anchors
    ]
    pixels = torch.stack([torch.from_numpy(np.array(square)).permute(2, 0, 1) for square in squares])[:, None]
    assert int((ids == video).sum()) == 2 * 5
    expected = {"input_ids": ids, "pixel_values_videos": pixels.float() / 127.5 - 1}
    assert_same_logits(setup, given, expected, rtol=1e-4, atol=1e-5)


def assert_as_the_family_does(setup: Setup, processor: Any, *, anchors: int) -> None:
    decomposition = make_decomposition((2,) * anchors, size=(250, 70))
    expected = own_inputs(processor, [anchor.image for anchor in decomposition.anchors])
    given = setup.processor.encode([setup.processor.prepare(decomposition)], [ASK], motion=False)
    assert torch.equal(given.input_ids, expected["input_ids"])
    assert_same_logits(setup, given, expected)


def assert_same_logits(
    setup: Setup, given: ModelInputs, expected: Mapping[str, Any], *, rtol: float = 0, atol: float = 0
) -> None:
    plain = setup.model.host.load_network()
    with torch.no_grad(), setup.model.disable_motion():
        torch.testing.assert_close(setup.model(given).logits, plain(**expected).logits, rtol=rtol, atol=atol)
