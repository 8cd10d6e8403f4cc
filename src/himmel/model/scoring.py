"""Options scored by their likelihood: a video is read once for all questions asked about it."""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from himmel.choices import Scoring
from himmel.errors import UsageError
from himmel.model.inputs import ChoiceInputs
from himmel.model.prompt import IGNORED


def score_logits(logits: Tensor, asked: ChoiceInputs) -> list[list[Tensor]]:
    """Log-likelihood of each option of each question: of the whole option with its end of turn.

    Args:
        logits: [T, V], what the model predicts for the T labelled tokens of `asked.inputs`, in batch order.
        asked: the questions with their options.

    Returns:
        For each sample and question, float32 [C] on the CPU, in the options' order.
    """
    labels = cast(Tensor, asked.inputs.labels)[:, 1:]
    labelled = labels != IGNORED
    log_likelihood = -functional.cross_entropy(logits.float(), labels[labelled].to(logits.device), reduction="none")
    owner = asked.index[:, 1:][labelled].to(logits.device)
    total = torch.zeros(int(asked.index.max()) + 1, device=logits.device).index_add_(0, owner, log_likelihood)
    return _by_question(total.cpu(), asked)


def count_tokens(asked: ChoiceInputs) -> list[list[Tensor]]:
    """Tokens of each option with its end of turn; for each sample and question, int64 [C]."""
    return _by_question(torch.bincount(asked.index[asked.index >= 0]), asked)


def count_bytes(asked: ChoiceInputs) -> list[list[Tensor]]:
    """Length of each option in UTF-8; for each sample and question, int64 [C]."""
    return [[torch.tensor(question) for question in sample] for sample in asked.sizes]


def weigh(
    likelihoods: Tensor,
    *,
    scoring: Scoring,
    tokens: Tensor | None = None,
    sizes: Tensor | None = None,
    blind: Tensor | None = None,
) -> Tensor:
    """Scores of one question's options, of which the highest is the answer, from their log-likelihoods.

    A long option is a product of more probabilities than a short one, and a common phrase is likely after any
    question, so that likelihoods compare options fairly only where all of them are alike. Ways out, all in use for
    evaluating language models: the mean over tokens (Brown et al. 2020, section 2.4) or bytes (`acc_norm` of
    EleutherAI's lm-evaluation-harness), and subtracting the likelihood that the option has without the evidence (as in
    Brown et al., same section, and in Holtzman et al. 2021: the pointwise mutual information of option and evidence).
    Means are multiplied by the mean length of the options, which changes no order: options that are as long as each
    other then keep their likelihoods.

    Args:
        likelihoods: float32 [C], natural logarithms, each of a whole option with its end of turn.
        scoring: `raw` (as they are), `token` (mean over tokens), `byte` (mean over bytes), or `prior` (minus the
            likelihoods after the same prompt without the video).
        tokens: int64 [C], needed for `token`.
        sizes: int64 [C], bytes, needed for `byte`.
        blind: float32 [C], log-likelihoods without the video, needed for `prior`.

    Returns:
        float32 [C].

    Raises:
        UsageError: what the scoring needs was not given.
    """
    if scoring == "raw":
        return likelihoods
    if scoring == "prior":
        return likelihoods - _given(scoring, "blind", blind)
    lengths = _given(scoring, "tokens", tokens) if scoring == "token" else _given(scoring, "sizes", sizes)
    return likelihoods * (lengths.float().mean() / lengths)


def _given(scoring: Scoring, name: str, value: Tensor | None) -> Tensor:
    if value is None:
        raise UsageError(f"scoring={scoring!r} needs `{name}`, which is None; give it, or choose scoring='raw'.")
    return value


def _by_question(values: Tensor, asked: ChoiceInputs) -> list[list[Tensor]]:
    """[options of the batch] as one tensor for each sample and question."""
    parts = iter(values.split([count for sample in asked.counts for count in sample]))
    return [[next(parts) for _ in sample] for sample in asked.counts]
