"""A question answered three ways: with motion, by the anchors alone, and by frames that are decoded densely."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from himmel.errors import HimmelError
from himmel.methods.answer import Answer
from himmel.methods.answer_view import answer_rows
from himmel.methods.choice import METHODS, build, option_names
from himmel.methods.decoding import Decoding
from himmel.methods.prepared import Prepared
from himmel.methods.protocol import Method
from himmel.methods.question import Question
from himmel.methods.session import Session
from himmel.model.budget import BudgetRequest, plan_budget
from himmel.serving.askable import askable_methods
from himmel.serving.server.reading import Medium
from himmel.serving.server.refusal import Refusal
from himmel.serving.studio.asked import Asked, Costs

Column = Literal["motion", "anchors", "dense"]
Tell = Callable[[dict[str, Any]], None]
_MOTION: Final = ("himmel", "rgb_diff", "motion_text", "stream_pictures", "codec_frames")
_STREAMS: Final = ("num_anchors", "steps_per_interval", "tokens_per_interval", "anchor_mode", "backend")
_PROMPT: Final = ("placement", "times", "max_anchor_tokens")
_TOKENS: Final = 64
"""Motion tokens of an interval where there is no adapter: the report's."""


class GivenUpError(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Way:
    """One of the three ways."""

    column: Column
    title: str
    method: Method


class Asking:
    """One model, which answers one question at a time; for any number of threads.

    Args:
        session: whose model is asked.
        threads: of torch; None leaves torch's number.
    """

    def __init__(self, session: Session, *, threads: int | None = None) -> None:
        self._session, self._threads = session, threads
        self._turn = threading.Lock()
        self.methods = askable_methods(session)
        self._has_adapter = any(METHODS[name].needs_adapter for name in self.methods)
        if not self.methods:
            raise HimmelError("The host can be asked by no method; name another host or adapter.")

    def about(self) -> dict[str, Any]:
        """What the page offers, and what the checkpoint was trained with."""
        told: dict[str, Any] = {
            "motion_methods": [name for name in self.methods if name in _MOTION],
            "dense_methods": [name for name in self.methods if name not in (*_MOTION, "anchors")],
        }
        if self._has_adapter:
            config = self._session.model.config
            told["trained"] = {
                "num_anchors": config.num_anchors,
                "steps_per_interval": config.steps_per_interval,
                "tokens_per_interval": config.tokens_per_interval or config.adapter.tokens_per_interval,
                "anchor_mode": config.anchor_mode,
            }
        return told

    def budget(self, costs: Costs) -> dict[str, Any]:
        """Tokens of the three prompts by kind.

        Raises:
            HimmelError: the host cannot take pictures of this shape.
        """
        config = self._session.model.config if self._has_adapter else None
        trained = {} if config is None else {name: getattr(config, name) for name in _PROMPT}
        request = BudgetRequest(
            width=costs.width,
            height=costs.height,
            duration=costs.duration,
            num_anchors=costs.num_anchors,
            tokens_per_interval=costs.tokens_per_interval
            or (_TOKENS if config is None else config.tokens_per_interval or config.adapter.tokens_per_interval),
            steps_per_interval=costs.steps_per_interval,
            dense_frames=costs.frames,
            question=costs.question or "What happens in the video?",
            **trained,
        )
        found = plan_budget(self._session.host_of(build(self.methods[0])).folder, request)
        costs_of = {"motion": found.full, "anchors": found.anchors_only, "dense": found.dense}
        return {
            name: {"frames": one.frames, "text": one.text, "image": one.image, "motion": one.motion, "total": one.total}
            for name, one in costs_of.items()
        }

    def ask(self, asked: Asked, medium: Medium, tell: Tell, given_up: threading.Event) -> None:
        """Answer a question in all three ways, and tell each as it is there.

        Args:
            asked: the question.
            medium: the video, which is read in a worker.
            tell: called in this thread with what the page is to know.
            given_up: once it is set, nothing new is begun and an answer ends at its next token.

        Raises:
            GivenUpError: `given_up` was set.
            Refusal: a method can't be asked here.
            HimmelError: the question cannot be asked.
        """
        ways = self._ways(asked)
        question = Question(asked.question, tuple(asked.choices))
        decoding = Decoding(max_new_tokens=asked.max_new_tokens, hear=lambda token: not given_up.is_set())
        steps = 2 * len(ways)
        for place, way in enumerate(ways):
            try:
                _go_on(given_up)
                tell({"stage": f"Reading the video {way.title}", "done": 2 * place, "of": steps})
                prepared = self._session.prepare(medium, method=way.method, threads=self._threads)
                tell({"stage": f"Waiting for the model, {way.title}", "done": 2 * place + 1, "of": steps})
                with self._turn:
                    _go_on(given_up)
                    tell({"stage": f"Asking the model {way.title}", "done": 2 * place + 1, "of": steps})
                    answer = self._session.answer(
                        [prepared], [question], [decoding], method=way.method, threads=self._threads
                    )[0]
                    gates = self._gates(prepared, way.method, question)
                _go_on(given_up)
                tell({"column": way.column, "answer": _tell(answer, medium)})
                if gates:
                    tell({"gates": gates})
            except HimmelError as error:
                tell({"column": way.column, "error": str(error)})

    def _ways(self, asked: Asked) -> list[Way]:
        ways: list[Way] = []
        for name in (asked.method, asked.baseline):
            if name not in self.methods:
                raise Refusal(400, f"The method {name!r} cannot be asked with this host and adapter.", code="no_method")
        ways.append(Way("motion", "with motion", build(asked.method, **_options(asked.method, asked))))
        if "anchors" in self.methods:
            ways.append(Way("anchors", "by its anchors alone", build("anchors", **_options("anchors", asked))))
        else:
            few = asked.model_copy(update={"frames": asked.num_anchors})
            ways.append(Way("anchors", "by as many frames", build("dense", **_options("dense", few))))
        ways.append(Way("dense", "by dense frames", build(asked.baseline, **_options(asked.baseline, asked))))
        return ways

    def _gates(self, prepared: Prepared, method: Method, question: Question) -> dict[str, Any] | None:
        """Shares of the streams at each step; None where the method has no motion tokens or its fusion no gates."""
        sample = prepared.shown.sample
        if method.name == "anchors" or not method.needs_adapter or not sample.num_intervals:
            return None
        model = self._session.model
        processor = method.processor(model)
        inputs = processor.encode([sample], [prepared.shown.turns(question)], motion=True)
        output = model.encode_motion(inputs)
        if output is None or output.gates is None:
            return None
        shares = output.gates.shares.float().cpu().numpy()
        exists = output.gates.step_mask.cpu().numpy()
        if len(shares) != len(prepared.video.intervals):
            return None
        times: list[float] = []
        rows: list[list[float]] = []
        for interval, share, there in zip(prepared.video.intervals, shares, exists, strict=True):
            known = share[there.astype(bool)][: len(interval.times)]
            times += interval.times[: len(known)]
            rows += np.round(known, 4).tolist()
        return {"streams": output.gates.streams, "times": times, "shares": rows}


def _options(name: str, asked: Asked) -> dict[str, Any]:
    """The settings of the page that a method has."""
    known = option_names(METHODS[name])
    options = {option: getattr(asked, option) for option in _STREAMS if option in known}
    return options | ({"num_frames": asked.frames} if "num_frames" in known else {})


def _go_on(given_up: threading.Event) -> None:
    if given_up.is_set():
        raise GivenUpError


def _tell(answer: Answer, medium: Medium) -> dict[str, Any]:
    rows = answer_rows(answer)
    # Of the file the page knows more, and where it lies is nobody's business.
    rows.pop("video", None)
    return {
        "text": answer.text,
        "method": answer.method,
        "choices": [{"text": one.text, "probability": one.probability} for one in answer.choices],
        "tokens": answer.tokens,
        "seconds": {stage: round(seconds, 4) for stage, seconds in answer.seconds.items()},
        "first_token": answer.first_token,
        "frames": len(answer.video.anchors),
        "rows": {name: text.replace(str(medium.paths[0]), "the file") for name, text in rows.items() if text},
        "notes": answer.notes,
    }
