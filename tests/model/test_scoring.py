import pytest
import torch

from himmel.errors import UsageError
from tiny_hosts import Setup

QUESTIONS = [
    [("What moves?", ["the red ball", "the camera", "no one"]), ("Which way?", ["left", "right"])],
    [("How often does it stop?", ["one", "two", "three"])],
]


def by_recomputing(setup: Setup, sample: object, question: str, option: str) -> tuple[float, int]:
    inputs = setup.processor.encode([sample], [[(question, option)]])
    full = setup.model(inputs.without_labels()).logits.log_softmax(-1)
    targets = inputs.labels[0, 1:]
    places = (targets >= 0).nonzero().flatten()
    return float(sum(full[0, place, targets[place]] for place in places)), len(places)


@pytest.mark.parametrize("normalise", ["none", "tokens"])
@torch.no_grad()
def test_scores_are_those_of_full_recomputation(setup: Setup, normalise: str) -> None:
    scores = setup.model.score_choices(setup.processor.encode_choices(setup.samples, QUESTIONS), normalise=normalise)
    assert [[len(options) for options in sample] for sample in scores] == [[3, 2], [3]]
    for sample, asked, found in zip(setup.samples, QUESTIONS, scores, strict=True):
        for (question, options), values in zip(asked, found, strict=True):
            for option, value in zip(options, values, strict=True):
                total, count = by_recomputing(setup, sample, question, option)
                assert float(value) == pytest.approx(total / (count if normalise == "tokens" else 1), abs=1e-4)


def test_scores_without_motion_and_without_anchors(nano: Setup) -> None:
    for motion, anchors in ((False, True), (False, False), (True, False)):
        inputs = nano.processor.encode_choices(nano.samples, QUESTIONS, motion=motion, anchors=anchors)
        assert all(torch.isfinite(values).all() for sample in nano.model.score_choices(inputs) for values in sample)


def test_an_option_scores_the_same_in_any_company(nano: Setup) -> None:
    one = nano.model.score_choices(nano.processor.encode_choices(nano.samples[:1], [QUESTIONS[0][:1]]))
    turned = [(question, options[::-1]) for question, options in QUESTIONS[0]][::-1]
    other = nano.model.score_choices(nano.processor.encode_choices(nano.samples[:1], [turned]))
    torch.testing.assert_close(one[0][0], other[0][1].flip(0), rtol=1e-5, atol=1e-5)


def test_empty_options_are_refused(nano: Setup) -> None:
    with pytest.raises(UsageError, match="An answer or option is empty"):
        nano.processor.encode_choices(nano.samples[:1], [[("What moves?", ["left", ""])]])
