"""Captions and pictures in turn: the ids that a chat template gives, and each picture where it belongs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from himmel.errors import UsageError
from himmel.hosts import load_host
from himmel.methods.interleaved import InterleavedEncoder, interleave
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel

Picture = np.ndarray[Any, np.dtype[np.uint8]]


def pictures(count: int) -> list[Picture]:
    return [np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8) for seed in range(count)]


def test_the_prompt_is_that_of_the_chat_template(host_folder: str) -> None:
    """A picture's own tokens take the place of a mark; the rest is text as the template writes it."""
    host = load_host(host_folder, max_anchor_tokens=12)
    first, second = pictures(2)
    sample = interleave(host, ["Two pictures.", "\nOne:\n", first, "\nTwo:\n", second, "\n\n"])
    assert sample.captions == ("Two pictures.\nOne:\n", "\nTwo:\n", "\n\n")
    ids = InterleavedEncoder(host).encode([sample], [[("What moves?", None)]], motion=False).input_ids[0].tolist()
    expected = list(host.chat.head)
    for caption, grid in zip(sample.captions, host.image_grids(sample.images), strict=False):
        expected += host.encode_text(caption)
        expected += [number for run in host.anchor_runs(grid) for number in run.ids]
    expected += [*host.encode_text("\n\n"), *host.encode_text("What moves?"), *host.chat.reply]
    assert ids == expected
    text = host.tokenizer.decode(ids)
    assert text.index("One:") < text.index("Two:") < text.index("What moves?")


def test_without_captions_it_is_the_plain_prompt(host_folder: str) -> None:
    host = load_host(host_folder, max_anchor_tokens=12)
    sample = interleave(host, pictures(3))
    ask = [[("What moves?", None)]]
    one = InterleavedEncoder(host).encode([sample], ask, motion=False)
    other = PromptEncoder(host).encode([sample], ask, motion=False)
    assert torch.equal(one.input_ids, other.input_ids)
    assert torch.equal(one.position_ids, other.position_ids)


def test_a_model_reads_it_alone_and_in_a_batch_alike(host_folder: str) -> None:
    model = HostModel.load(host_folder, max_anchor_tokens=12)
    encoder = InterleavedEncoder(model.host)
    first, second, third = pictures(3)
    samples = [
        interleave(model.host, ["A: ", first, " B: ", second, "\n"]),
        interleave(model.host, ["A much longer caption than the other: ", third]),
    ]
    asked = [[("What moves?", ["the ball", "a cat"])]] * 2
    together = model.score_choices(encoder.encode_choices(samples, asked, motion=False))
    for sample, scores in zip(samples, together, strict=True):
        alone = model.score_choices(encoder.encode_choices([sample], asked[:1], motion=False))
        torch.testing.assert_close(scores[0], alone[0][0], rtol=1e-3, atol=1e-3)


def test_order_and_captions_change_what_the_model_reads(tiny_host: Callable[[str], str]) -> None:
    model = HostModel.load(tiny_host("qwen2_5_vl"), max_anchor_tokens=12)
    encoder = InterleavedEncoder(model.host)
    first, second = pictures(2)
    orders = [[first, "then", second], [second, "then", first], [first, second], ["then", first, second]]
    samples = [interleave(model.host, order) for order in orders]
    scores = [
        model.score_choices(encoder.encode_choices([sample], [[("What?", ["yes", "no"])]], motion=False))[0][0]
        for sample in samples
    ]
    assert len({tuple(score.tolist()) for score in scores}) == 4


def test_a_caption_cannot_smuggle_in_a_placeholder(host_folder: str) -> None:
    host = load_host(host_folder, max_anchor_tokens=12)
    mark = host.tokenizer.decode([host.image_token_id])
    sample = interleave(host, [f"Look: {mark}", pictures(1)[0]])
    encoder = InterleavedEncoder(host)
    inputs = encoder.encode([sample], [[("What?", None)]], motion=False)
    rows, columns = host.image_grids(sample.images)[0]
    plain = encoder.encode([interleave(host, ["Look: ", pictures(1)[0]])], [[("What?", None)]], motion=False)
    assert encoder.count_tokens(inputs)["image"] == encoder.count_tokens(plain)["image"] >= rows * columns


def test_a_prompt_without_a_picture_is_refused(tiny_host: Callable[[str], str]) -> None:
    with pytest.raises(UsageError, match="no picture"):
        interleave(load_host(tiny_host("nano")), ["only text"])
