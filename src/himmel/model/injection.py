"""Motion tokens take their placeholders' rows among the input embeddings (docs/method.md, equation 8)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from himmel.errors import HostError


def inject(embeddings: Tensor, mask: Tensor, rows: Tensor) -> Tensor:
    """E' = (1 - P^T 1) * sg(E) + P^T T, as a scatter out of place.

    Args:
        embeddings: [B, L, D]; no gradient reaches it.
        mask: bool [B, L], True at the P placeholders.
        rows: T [P, D], in the order of the placeholders, see `token_rows`; cast to the embeddings' type and device.

    Returns:
        [B, L, D], a new tensor.
    """
    return embeddings.detach().masked_scatter(mask.unsqueeze(-1), rows.to(embeddings))


def token_rows(tokens: Tensor, index: Tensor, intervals_per_sample: Tensor) -> list[Tensor]:
    """The token of each placeholder; the gradient of a token that several take is the sum of theirs.

    Args:
        tokens: [M, K, D], of the M intervals of all prompts.
        index: int64 [P], `motion_index` of the batch (see `HimmelProcessor.encode`).
        intervals_per_sample: int64 [B], M in sum.

    Returns:
        For each prompt its placeholders' rows [P_i, D].

    Raises:
        HostError: the numbers of intervals don't agree, or the index names tokens that don't exist.
    """
    counts = intervals_per_sample.cpu()
    if int(counts.sum()) != len(tokens):
        raise HostError(
            f"The streams hold {len(tokens)} intervals and intervals_per_sample adds up to {int(counts.sum())}; "
            "encode them with the processor of this model."
        )
    flat = tokens.flatten(0, 1)
    index = index.cpu()
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(flat):
        raise HostError(
            f"motion_index names token {int(index.max())} and the adapter makes {len(flat)}; "
            "encode the prompts with the processor of this model."
        )
    ends = counts.cumsum(0) * tokens.shape[1]
    owners = torch.searchsorted(ends, index, right=True)
    rows = flat.index_select(0, index.to(flat.device))
    return list(rows.split(torch.bincount(owners, minlength=len(counts)).tolist()))


def check_placeholders(input_ids: Tensor, token_id: int, expected: Sequence[int]) -> None:
    """See that each prompt has as many placeholders as motion tokens for them.

    Raises:
        HostError: a row of `input_ids` [B, L] doesn't hold `expected` placeholders.
    """
    found = (input_ids == token_id).sum(1).tolist()
    if found != list(expected):
        raise HostError(
            f"The prompts hold {found} motion placeholders and the videos give {list(expected)} motion tokens; "
            "encode the prompts with the processor of this model."
        )


class MotionInjector:
    """Exchanges placeholder rows whenever the host embeds a prompt, in training and in generation alike.

    It works from a hook on the host's input embeddings, so that the host's own code still sees `input_ids`. What is to
    be injected is known to the thread (or task) that holds it alone: others may use the same host meanwhile.

    Args:
        network: the host's weights.
        token_id: id of the motion placeholder.
    """

    def __init__(self, network: PreTrainedModel, token_id: int) -> None:
        self._token_id = token_id
        self.install(network)

    def install(self, network: PreTrainedModel) -> None:
        """Hook onto the input embeddings of the host's weights."""
        self._hook = network.get_input_embeddings().register_forward_hook(self._replace)

    def remove(self) -> None:
        """Take the hook off."""
        self._hook.remove()

    @contextmanager
    def holding(self, rows: Sequence[Tensor]) -> Iterator[None]:
        """Inject within the block; `rows` are those of each prompt's placeholders [P_i, D]."""
        before = _held.set(tuple(rows))
        try:
            yield
        finally:
            _held.reset(before)

    def _replace(self, module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor | None:
        del module
        rows, input_ids = _held.get(), arguments[0]
        mask = input_ids == self._token_id
        # Past the prompt, generation embeds one new token at a time.
        if not rows or not bool(mask.any()):
            return None
        # Beams and several returned sequences repeat each prompt in place.
        copies = len(input_ids) // len(rows)
        # Where a device map spreads the host, embeddings may be on another device than what comes in.
        return inject(output, mask.to(output.device), torch.cat([row for row in rows for _ in range(copies)]))


_held: ContextVar[tuple[Tensor, ...]] = ContextVar("held", default=())
