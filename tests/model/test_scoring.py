from typing import get_args

import pytest
import torch

from himmel.choices import Scoring
from himmel.errors import UsageError
from himmel.model.scoring import count_bytes, count_tokens, weigh
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


@torch.no_grad()
def test_scores_are_those_of_full_recomputation(setup: Setup) -> None:
    asked = setup.processor.encode_choices(setup.samples, QUESTIONS)
    scores, tokens = setup.model.score_choices(asked), count_tokens(asked)
    assert [[len(options) for options in sample] for sample in scores] == [[3, 2], [3]]
    for sample, questions, found, counted in zip(setup.samples, QUESTIONS, scores, tokens, strict=True):
        for (question, options), values, counts in zip(questions, found, counted, strict=True):
            for option, value, count in zip(options, values, counts, strict=True):
                total, labelled = by_recomputing(setup, sample, question, option)
                assert float(value) == pytest.approx(total, abs=1e-4)
                assert int(count) == labelled


def test_bytes_are_those_of_the_options(nano: Setup) -> None:
    asked = nano.processor.encode_choices(nano.samples[:1], [[("Who?", ["J\u00fcrgen ", "no one"]), ("When?", ["1"])]])
    assert [values.tolist() for values in count_bytes(asked)[0]] == [[7, 6], [1]]


def test_each_scoring_is_its_formula() -> None:
    likelihoods, tokens = torch.tensor([-6.0, -3.0, -8.0]), torch.tensor([3, 1, 8])
    sizes, blind = torch.tensor([12, 2, 40]), torch.tensor([-9.0, -2.0, -8.0])
    found = {
        scoring: weigh(likelihoods, scoring=scoring, tokens=tokens, sizes=sizes, blind=blind).tolist()
        for scoring in get_args(Scoring)
    }
    assert found == {
        "raw": [-6.0, -3.0, -8.0],
        "token": [-8.0, -12.0, -4.0],
        "byte": [pytest.approx(-9.0), pytest.approx(-27.0), pytest.approx(-3.6)],
        "prior": [3.0, -1.0, 0.0],
    }


def test_options_of_one_length_keep_their_likelihoods() -> None:
    likelihoods, lengths = torch.tensor([-6.0, -3.0]), torch.tensor([7, 7])
    for scoring in ("token", "byte"):
        torch.testing.assert_close(weigh(likelihoods, scoring=scoring, tokens=lengths, sizes=lengths), likelihoods)


@pytest.mark.parametrize(("scoring", "needed"), [("token", "tokens"), ("byte", "sizes"), ("prior", "blind")])
def test_a_scoring_says_what_it_lacks(scoring: Scoring, needed: str) -> None:
    with pytest.raises(UsageError, match=f"scoring='{scoring}' needs `{needed}`"):
        weigh(torch.zeros(2), scoring=scoring)


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
