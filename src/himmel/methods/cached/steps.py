"""Answers from a memory: a text token by token, and the likelihood of given texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from himmel.methods.cached.memory import Memory, Reader
from himmel.methods.decoding import Decoding, Steps, end_ids
from himmel.methods.generation import processors

# Each has a copy of the memory.
_AT_ONCE: Final = 4


@dataclass(frozen=True)
class Continued:
    """A text that was made token by token.

    Attributes:
        ids: int64 [L] on the CPU, the end-of-turn token among them where it came.
        first_token: when the first of them was known, on the clock of `time.perf_counter`.
    """

    ids: Tensor
    first_token: float


@torch.no_grad()
def continue_memory(
    reader: Reader, memory: Memory, prediction: Tensor, *, prompt: Tensor, decoding: Decoding
) -> Continued:
    """One token, read, and the next, as transformers' `generate`.

    Args:
        reader: whose memory it is.
        memory: what was read; it stays as it is.
        prediction: [V], of the first new token.
        prompt: int64 [L], all ids that were read, for the host's penalty on repeating them (where it has one).
        decoding: how tokens are chosen, and where the text ends.
    """
    chosen_by = processors(reader.network, reader.host.motion_token_id, reader.device)
    steps = Steps([decoding], end_ids(reader.network))
    cache = memory.cache()
    ids = prompt[None].to(reader.device)
    for step in range(decoding.max_new_tokens):
        scores = chosen_by(cast(Any, ids), cast(Any, prediction[None].float().to(reader.device)))
        token = steps.choose(scores).argmax(-1)
        ids = torch.cat([ids, token[None]], dim=1)
        if steps.stop(token)[0]:
            break
        output = reader.network(
            input_ids=token[None],
            position_ids=reader.position_ids(
                reader.text_positions(memory.next + step, 1)[:, None], seen=memory.seen + step
            ),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        prediction = output.logits[0, -1]
    return Continued(ids[0, len(prompt) :].cpu(), steps.first_token)


@torch.no_grad()
def score_texts(reader: Reader, memory: Memory, prediction: Tensor, texts: Sequence[Tensor]) -> list[Tensor]:
    """How likely each of several continuations is, read from the same memory.

    Args:
        reader: whose memory it is.
        memory: what was read; it stays as it is.
        prediction: [V], of the first new token.
        texts: C of them, int64 [L_i] ids, none empty.

    Returns:
        For each text float32 [L_i] on the CPU, the log-likelihood of each of its tokens.
    """
    scores: list[Tensor] = []
    for first in range(0, len(texts), _AT_ONCE):
        scores += _score_group(reader, memory, prediction, texts[first : first + _AT_ONCE])
    return scores


def _score_group(reader: Reader, memory: Memory, prediction: Tensor, texts: Sequence[Tensor]) -> list[Tensor]:
    longest = max(len(text) for text in texts)
    ids = torch.stack([pad(text, (0, longest - len(text))) for text in texts])
    # What fills a shorter text comes after it, so nothing that counts sees it.
    positions = reader.text_positions(memory.next, longest)[:, None].expand(-1, len(texts), -1)
    output = reader.network(
        input_ids=ids.to(reader.device),
        position_ids=reader.position_ids(positions, memory.seen),
        past_key_values=memory.cache(len(texts)),
        use_cache=True,
    )
    before = torch.cat([prediction.expand(len(texts), 1, -1), output.logits[:, :-1]], dim=1)
    likelihood = before.float().log_softmax(-1).gather(2, ids[..., None].to(before.device))[..., 0].cpu()
    return [row[: len(text)] for row, text in zip(likelihood, texts, strict=True)]
