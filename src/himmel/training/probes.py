"""The supervised warm start of stage 1, for clips whose motion is known because they were rendered.

An interval's first motion tokens are drawn to the host's own word embeddings of a short caption of what moved, so that
the language model meets something that it can read from the first step of stage 2 on; one linear layer reads the
amounts off the mean token. Both are thrown away after stage 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from himmel.hosts import Host
from himmel.nano.catalogue import ACTIONS, CAMERA_MOTIONS, CHANGES, DIRECTIONS, PACES, PLACES

CAPTION_TOKENS: Final = 7
"""Motion tokens of an interval that a caption is written into."""
_TEMPERATURE = 0.1
_FILLER = " ."


def caption(classes: Sequence[int]) -> str:
    """What a row of `GroundTruth.classes` says: "moves left top right fast", "jumps top left", "camera pans left"."""
    activity, direction, place, camera, action, pace = classes
    if activity in (1, 3):
        words = [(*ACTIONS, *CHANGES)[action]]
        words += [tuple(DIRECTIONS)[direction]] * (direction >= 0) + [PLACES[place]] * (place >= 0)
    elif activity == 2:
        words = ["camera", tuple(CAMERA_MOTIONS)[camera]]
    else:
        words = ["nothing moves"]
    return " ".join(words + [PACES[pace]] * (pace >= 0))


def caption_ids(classes: Tensor, host: Host) -> Tensor:
    """Token ids of each interval's caption, int64 [M, CAPTION_TOKENS], from int64 [M, 6] classes."""
    rows = []
    filler = host.encode_text(_FILLER)
    for row in classes.tolist():
        ids = host.encode_text(" " + caption(row))
        rows.append((ids + filler * CAPTION_TOKENS)[:CAPTION_TOKENS])
    return torch.tensor(rows, dtype=torch.long)


@dataclass(frozen=True)
class ProbeTargets:
    """What really moved in each of M intervals.

    Attributes:
        values: float32 [M, V], see `GroundTruth.values`.
        words: int64 [M, W], token ids of a caption.
    """

    values: Tensor
    words: Tensor


class MotionProbes(nn.Module):
    """Losses of the warm start.

    Args:
        embeddings: [vocabulary, D], the host's token embeddings; not trained.
        num_values: amounts to predict, V.
        vocabulary: ids of the tokens that captions are made of.
    """

    def __init__(self, embeddings: Tensor, *, num_values: int, vocabulary: Sequence[int]) -> None:
        super().__init__()
        ids = torch.tensor(sorted(set(vocabulary)))
        self.norm = nn.LayerNorm(embeddings.shape[-1])
        self.values = nn.Linear(embeddings.shape[-1], num_values)
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("words", _unit(embeddings.detach()[ids].float()), persistent=False)
        self.ids: Tensor
        self.words: Tensor

    def forward(self, tokens: Tensor, targets: ProbeTargets) -> dict[str, Tensor]:
        """Losses of M intervals.

        Args:
            tokens: [M, K, D] motion tokens; a caption longer than K is cut.
            targets: what moved in these intervals.

        Returns:
            `values`: mean smooth L1 of the amounts. `words`: mean over intervals of the sum over the caption's tokens
            of the cross-entropy among all caption words, by cosine, plus 1 - cosine to the right one. `misread`: share
            of wrong words, 0..1.
        """
        amounts = self.values(self.norm(tokens.mean(1)))
        wanted = torch.searchsorted(self.ids, targets.words[:, : tokens.shape[1]].contiguous())
        cosines = _unit(tokens[:, : wanted.shape[1]].to(self.words.dtype)) @ self.words.T
        entropy = functional.cross_entropy(cosines.mT / _TEMPERATURE, wanted, reduction="none")
        distance = 1 - cosines.gather(2, wanted[..., None]).squeeze(2)
        return {
            "values": functional.smooth_l1_loss(amounts, targets.values, beta=0.5),
            # Summed over the caption: its one word of direction would drown in a mean.
            "words": (entropy + distance).sum(1).mean(),
            "misread": (cosines.argmax(2) != wanted).float().mean().detach(),
        }


def _unit(vectors: Tensor) -> Tensor:
    # Motion tokens have zero mean, so the words are compared without theirs.
    return functional.normalize(vectors - vectors.mean(-1, keepdim=True), dim=-1)


def caption_vocabulary(host: Host) -> set[int]:
    """Ids of all tokens that captions are made of."""
    every = [caption((0, -1, -1, 0, -1, -1)), *ACTIONS, *CHANGES, *DIRECTIONS, *PLACES, *PACES]
    every += [f"camera {motion}" for motion in CAMERA_MOTIONS]
    return {one for words in every for one in host.encode_text(f" {words}")} | set(host.encode_text(_FILLER))
