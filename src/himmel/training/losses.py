"""The objectives of stage 1: motion embeddings are drawn to the visual change that they caused.

docs/method.md, equations 5 to 7; report, section 3.3.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from himmel.adapter.tensors import ShowsShapes

Objective = Literal["infonce", "mse", "hybrid"]

_LOWEST_TEMPERATURE = 0.01
_HIGHEST_TEMPERATURE = 1.0
# Cosine above which targets are one and the same but for rounding.
_SAME = 1 - 1e-6


class Temperature(nn.Module):
    """The learned temperature tau of equation 6, kept as its logarithm and within 0.01..1, as CLIP's is.

    Args:
        initial: tau at the start, within that range.

    Raises:
        ValueError: `initial` is out of range.
    """

    def __init__(self, initial: float = 0.07) -> None:
        super().__init__()
        if not _LOWEST_TEMPERATURE <= initial <= _HIGHEST_TEMPERATURE:
            raise ValueError(
                f"The temperature starts at {initial}; choose {_LOWEST_TEMPERATURE} to {_HIGHEST_TEMPERATURE}."
            )
        self.log_temperature = nn.Parameter(torch.tensor([math.log(initial)]))

    def forward(self) -> Tensor:
        """Log tau, [1]."""
        # The stored value is clamped, not the one in the graph: outside a clamp in the graph no gradient would ever
        # lead back in. The copy keeps what autograd saves apart from the next call's clamp.
        with torch.no_grad():
            self.log_temperature.clamp_(math.log(_LOWEST_TEMPERATURE), math.log(_HIGHEST_TEMPERATURE))
        return self.log_temperature.clone()


@dataclass(frozen=True, kw_only=True, repr=False)
class AlignmentLoss(ShowsShapes):
    """A stage-1 loss and what it is made of.

    Attributes:
        total: scalar to minimise.
        parts: unweighted scalars without gradient: `nce`, `cosine` (1 - mean s_ii) and `mse` of the fused embedding as
            far as the objective uses them, the same as `motion_nce` and so on for each branch, and `temperature`.
        left_out: share of the pairs, 0..1, that the loss does not see.
    """

    total: Tensor
    parts: dict[str, Tensor]
    left_out: float


def info_nce(p: Tensor, v: Tensor, log_temperature: Tensor) -> Tensor:
    """Bidirectional InfoNCE over the cosines of B pairs (equation 6).

    Args:
        p: predictions [B, D], B at least 1; any length, only directions count.
        v: targets [B, D]; row i belongs to row i of `p`, all rows of another direction are its negatives. Rows of the
            same direction are not: the same interval may be twice in a batch.
        log_temperature: log tau, scalar or [1].

    Returns:
        Scalar, 0 or more; float32 or wider.
    """
    logits = _cosines(p, v) * torch.exp(-log_temperature)
    pairs = torch.arange(len(logits), device=logits.device)
    same = _cosines(v, v) > _SAME
    logits = logits.masked_fill(same & (pairs[:, None] != pairs), -math.inf)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


@torch.no_grad()
def similarity_parts(p: Tensor, v: Tensor) -> dict[str, Tensor]:
    """How well pairs [B, D] find each other: means over the batch, of cosines and of shares 0..1.

    Returns:
        `positive`, the cosine of a pair; `hardest_negative`, the highest of one with another's target (none where all
        targets are of one direction); `found`, the share whose own target is the nearest.
    """
    cosines = _cosines(p, v)
    other = _cosines(v, v) <= _SAME
    parts = {"positive": cosines.diagonal().mean()}
    if bool(other.any()):
        hardest = cosines.masked_fill(~other, -1).max(1).values
        parts |= {"hardest_negative": hardest.mean(), "found": (cosines.diagonal() > hardest).float().mean()}
    return parts


def retrieval(p: Tensor, v: Tensor) -> dict[str, float]:
    """How well each of M rows of `p` [M, D] finds its own among all targets `v` [M, D] by cosine.

    Targets of the same direction as one's own are not counted against it.

    Returns:
        `recall_at_1` and `recall_at_5`, shares 0..1 of rows whose own target is the nearest, or among the nearest five;
        `positive`, the mean cosine of a pair.
    """
    found = nearer(p, v)
    recalls = {f"recall_at_{k}": float((found < k).float().mean()) for k in (1, 5)}
    return {**recalls, "positive": float(_cosines(p, v).diagonal().mean())}


def nearer(p: Tensor, v: Tensor) -> Tensor:
    """How many other targets `v` [M, D] are at least as near to each row of `p` [M, D] as its own: int64 [M].

    Targets of the same direction as one's own are not counted.
    """
    cosines = _cosines(p, v)
    return ((cosines >= cosines.diagonal()[:, None]) & (_cosines(v, v) <= _SAME)).sum(1)


def cosine_gap(p: Tensor, v: Tensor) -> Tensor:
    """1 - mean cosine of the pairs [B, D], a scalar in 0..2: the regulariser of equation 7."""
    return 1 - F.cosine_similarity(_wide(p), _wide(v), dim=-1).mean()


def mse(p: Tensor, v: Tensor) -> Tensor:
    """Mean over the pairs [B, D] of ||p - v||^2 (the sum over D, not its mean; docs/method.md, section 6)."""
    return (_wide(p) - _wide(v)).square().sum(dim=-1).mean()


def zero_delta_mask(targets: Tensor, *, relative: float = 1e-2, absolute: float = 1e-6) -> tuple[Tensor, float]:
    """Find the pairs whose visual target has a direction; a still interval's target is noise around zero.

    Args:
        targets: [B, D].
        relative: smallest norm that counts, in units of the batch's largest.
        absolute: smallest norm that counts, whatever the batch holds.

    Returns:
        bool [B], True for pairs to keep, and the share left out, 0..1.
    """
    norms = _wide(targets).norm(dim=-1)
    if not len(norms):
        return norms > 0, 0.0
    keep = norms >= (norms.max() * relative).clamp(min=absolute)
    return keep, 1.0 - float(keep.float().mean())


class Embeddings(Protocol):
    """What stage 1 compares with the targets of M intervals, as `AdapterOutput` has it."""

    @property
    def embedding(self) -> Tensor:
        """Of the whole interval, [M, D]."""
        ...

    @property
    def branches(self) -> Mapping[str, Tensor]:
        """Of each stream that is read, [M, D]."""
        ...


@dataclass(frozen=True, repr=False)
class Embedded(ShowsShapes):
    """`Embeddings` alone."""

    embedding: Tensor
    branches: Mapping[str, Tensor]


def alignment_loss(
    output: Embeddings,
    targets: Tensor,
    *,
    temperature: Callable[[], Tensor],
    objective: Objective = "infonce",
    lambda_: float = 0.5,
    mu: float = 0.1,
    mse_weight: float = 0.5,
    valid: Tensor | None = None,
) -> AlignmentLoss:
    """Stage 1's loss (equation 7) and its two ablations (docs/method.md, section 6).

    With E(x) = L_nce(x, v) + lambda (1 - mean_i s_ii):
        infonce: E(fused) + mu * sum over branches of E(branch)
        mse:     mse(fused) + mu * sum over branches of mse(branch)
        hybrid:  infonce + mse_weight * mse(fused)

    Pairs without a direction (`zero_delta_mask`) are left out. If no pair is left, the total is zero and has a zero
    gradient, so that a step of several devices continues.

    Args:
        output: what the adapter makes of M intervals.
        targets: visual change of each interval in the host's space, [M, D] (equation 5); takes no gradient.
        temperature: gives log tau, [1], shared by the fused embedding and the branches.
        valid: bool [M], further pairs to leave out where False (such as intervals without a step).

    Raises:
        ValueError: an unknown objective, or targets of another shape than the embeddings.
    """
    if objective not in ("infonce", "mse", "hybrid"):
        raise ValueError(f"objective={objective!r} does not exist; choose infonce, mse or hybrid.")
    if targets.shape != output.embedding.shape:
        raise ValueError(f"Targets {list(targets.shape)} and embeddings {list(output.embedding.shape)} must match.")
    keep, _ = zero_delta_mask(targets)
    keep = keep if valid is None else keep & valid
    left_out = 1.0 - float(keep.float().mean())
    log_temperature = temperature()
    parts: dict[str, Tensor] = {"temperature": log_temperature.detach().exp().squeeze()}
    total = (log_temperature * 0).sum()
    if keep.any():
        parts |= similarity_parts(output.embedding[keep].detach(), targets[keep].detach())
    for name, embedding in {"": output.embedding, **output.branches}.items():
        weight = mu if name else 1.0
        if not keep.any():
            total = total + (embedding * 0).sum()
            continue
        pair = (embedding[keep], targets[keep].detach())
        if objective != "mse":
            total = total + weight * _keep(parts, name, "nce", info_nce(*pair, log_temperature))
            total = total + weight * lambda_ * _keep(parts, name, "cosine", cosine_gap(*pair))
        if objective == "mse":
            total = total + weight * _keep(parts, name, "mse", mse(*pair))
        elif objective == "hybrid" and not name:
            total = total + mse_weight * _keep(parts, name, "mse", mse(*pair))
    return AlignmentLoss(total=total, parts=parts, left_out=left_out)


def _keep(parts: dict[str, Tensor], name: str, kind: str, value: Tensor) -> Tensor:
    parts[f"{name}_{kind}" if name else kind] = value.detach()
    return value


def _wide(values: Tensor) -> Tensor:
    """Half precision is too coarse for norms and exponentials."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _cosines(p: Tensor, v: Tensor) -> Tensor:
    # Autocast would round the product to half precision, whatever goes in.
    with torch.autocast(p.device.type, enabled=False):
        return F.normalize(_wide(p), dim=-1) @ F.normalize(_wide(v), dim=-1).T
