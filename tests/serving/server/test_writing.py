"""What the request's coroutine reads of an answer while the model's thread writes it."""

import asyncio
import time

from torch import Tensor

from himmel.methods.decoding import Token
from himmel.serving.server.writing import Writing

PIECES = ("One", " two", " STOP", " three")


def test_no_stop_is_read_as_text_while_it_is_found() -> None:
    """The coroutine may look at any moment; here it does whenever the model's thread makes text of tokens."""
    read: list[str] = []
    looks = True

    def decode(ids: Tensor) -> str:
        nonlocal looks
        if looks:
            looks = False
            read.append(writing.certain)
            looks = True
        return "".join(PIECES[number] for number in ids.tolist())

    async def write() -> Writing:
        return Writing(decode, stops=["STOP"], most=8, deadline=time.monotonic() + 60)

    writing = asyncio.run(write())
    for number in range(len(PIECES)):
        writing.hear(Token(number, ends=False))
        read.append(writing.certain)
    assert set(read) == {"", "One", "One two"}
    assert writing.text == "One two"
