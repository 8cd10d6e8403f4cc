"""Answers as OpenAI's API gives them, whole or in pieces; the field `himmel` holds what that has no field for."""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from himmel.methods.answer import Answer
from himmel.methods.decoding import Token
from himmel.serving.server.messages import Asked
from himmel.serving.server.writing import Writing
from himmel.video.live import LiveSpan

DONE = b"data: [DONE]\n\n"


class Reply:
    """The reply to one request.

    Args:
        asked: the request.
        writing: its answer.
        window: of a watched stream, what the answer is about.
    """

    def __init__(self, asked: Asked, writing: Writing, window: LiveSpan | None = None) -> None:
        self._asked, self._writing, self._window = asked, writing, window
        self._common = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": asked.model,
        }
        self._said = ""
        self._logged = 0

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The object `chat.completion`."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self._text(answer), "refusal": None},
            "logprobs": self._logprobs(0),
            "finish_reason": self._finish,
        }
        return {
            **self._common,
            "object": "chat.completion",
            "choices": [choice],
            "usage": usage(answer, self._writing.tokens),
            "himmel": further(answer, self._asked, self._window),
        }

    def opening(self) -> bytes:
        """The first piece of a stream."""
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self) -> bytes:
        """What came since the last piece; empty where nothing did."""
        text = self._writing.certain
        if len(text) <= len(self._said) or not text.startswith(self._said):
            return b""
        return self._say(text)

    def closing(self, answer: Answer) -> bytes:
        """The rest of the text, why it ends, and usage where that was asked for."""
        text = self._text(answer)
        rest = self._say(text) if len(text) > len(self._said) and text.startswith(self._said) else b""
        last = self._chunk({}, finish=self._finish, himmel=further(answer, self._asked, self._window))
        counted = usage(answer, self._writing.tokens)
        final = self._event({"choices": [], "usage": counted}) if self._asked.usage else b""
        return rest + last + final + DONE

    @property
    def _finish(self) -> str:
        return "stop" if self._asked.question.choices else self._writing.finish

    def _text(self, answer: Answer) -> str:
        return answer.text if self._asked.question.choices else self._writing.text

    def _say(self, text: str) -> bytes:
        new, self._said = text[len(self._said) :], text
        return self._chunk({"content": new}, logprobs=self._logprobs(self._logged))

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None, logprobs: Any = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self._event({"choices": [choice], **more})

    def _event(self, content: dict[str, Any]) -> bytes:
        usage_field = {"usage": None} if self._asked.usage else {}
        return event({**self._common, "object": "chat.completion.chunk", **usage_field, **content})

    def _logprobs(self, start: int) -> dict[str, Any] | None:
        """Of the answer's tokens from one on; None where nobody asked."""
        if not self._asked.logprobs:
            return None
        words = self._writing.words(start)
        self._logged = start + len(words)
        return {"content": [self._logged_token(word, token) for word, token in words], "refusal": None}

    def _logged_token(self, word: str, token: Token) -> dict[str, Any]:
        others = [
            _with_bytes(self._writing.word(number), log_probability) for number, log_probability in token.alternatives
        ]
        return {**_with_bytes(word, token.log_probability or 0.0), "top_logprobs": others}


def event(content: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n"


def usage(answer: Answer, tokens: Sequence[Token]) -> dict[str, Any]:
    """Tokens of the prompt, by kind too, and of the answer with its end of turn."""
    prompt = sum(answer.tokens.values())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": len(tokens),
        "total_tokens": prompt + len(tokens),
        "prompt_tokens_details": {
            "cached_tokens": answer.cached_tokens,
            "audio_tokens": 0,
            **{f"{kind}_tokens": count for kind, count in answer.tokens.items()},
        },
    }


def further(answer: Answer, asked: Asked, window: LiveSpan | None = None) -> dict[str, Any]:
    """How the answer came about: what was read, by which method, in which time; paths are not told."""
    video = asdict(answer.video)
    return {
        "method": answer.method,
        "options": answer.options,
        "choices": [asdict(choice) for choice in answer.choices],
        "video": {name: value for name, value in video.items() if name != "path"} if asked.sources else None,
        **({} if window is None else {"window": window.to_dict()}),
        "removed": None if answer.removed is None else asdict(answer.removed),
        "prompt_sha256": answer.prompt_sha256,
        "seconds": answer.seconds,
        "notes": list(answer.notes),
        "versions": answer.versions,
    }


def _with_bytes(word: str, log_probability: float) -> dict[str, Any]:
    return {"token": word, "logprob": max(log_probability, -9999.0), "bytes": list(word.encode("utf-8", "replace"))}
