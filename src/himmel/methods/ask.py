"""`himmel.ask`: one question, one answer."""

import os
from collections.abc import Sequence
from typing import Any

from himmel.choices import AnswerForm, DeviceMap, Listing, MethodName, Quantization, Scoring
from himmel.methods.answer import Answer
from himmel.methods.protocol import Method
from himmel.methods.question import DEFAULT_ANSWER_FORM, DEFAULT_LISTING
from himmel.methods.session import Session
from himmel.methods.source import MediaSource
from himmel.model import HimmelForConditionalGeneration


def ask(
    video: MediaSource,
    question: str,
    *,
    model: HimmelForConditionalGeneration | None = None,
    adapter: str | os.PathLike[str] | None = None,
    host: str | None = None,
    device: str | None = None,
    device_map: DeviceMap | None = None,
    quantization: Quantization | None = None,
    max_anchor_tokens: int | None = None,
    method: MethodName | Method = "himmel",
    choices: Sequence[str] = (),
    scoring: Scoring | None = None,
    listing: Listing = DEFAULT_LISTING,
    answer_form: AnswerForm = DEFAULT_ANSWER_FORM,
    max_new_tokens: int = 64,
    seed: int = 0,
    threads: int | None = None,
    picture: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Answer:
    """Answer one question about a video. For more than one, make a `Session`: it loads and reads once.

    Args:
        video: see `Session.ask`.
        question: not empty.
        model, adapter, host, device, device_map, quantization, max_anchor_tokens: see `Session`.
        method, choices, scoring, listing, answer_form, max_new_tokens, seed, threads, picture, options: see
            `Session.ask`.

    Raises:
        UsageError, VideoError, HostError: as `Session` and `Session.ask`.

    Examples:
        >>> import himmel
        >>> himmel.ask("bunny.mp4", "Which way does the rabbit move?", choices=["left", "right"])  # doctest: +SKIP
    """
    session = Session(
        model,
        adapter=adapter,
        host=host,
        device=device,
        device_map=device_map,
        quantization=quantization,
        max_anchor_tokens=max_anchor_tokens,
        cache_bytes=0,
        prompt_cache_bytes=0,
    )
    return session.ask(
        video,
        question,
        method=method,
        choices=choices,
        scoring=scoring,
        listing=listing,
        answer_form=answer_form,
        max_new_tokens=max_new_tokens,
        seed=seed,
        threads=threads,
        picture=picture,
        **options,
    )
