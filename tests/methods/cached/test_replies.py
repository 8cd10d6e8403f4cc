"""Replies from a memory from which nothing is gone are those of `dense`, in every field."""

from dataclasses import replace

import pytest

from cached_reference import QUESTION, ask
from himmel.methods.asking import Asking, ask_batch
from himmel.methods.cached.replies import Prompted, Replier
from himmel.methods.decoding import Decoding
from himmel.methods.protocol import Shown
from himmel.methods.question import Question
from himmel.methods.removed import Removed
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from himmel.model.view import share_weights
from tiny_hosts import Setup

NOTHING = Removed("cache entries", 1, 1)


@pytest.mark.parametrize("scoring", ["raw", "token", "byte", "prior"])
def test_options_are_scored_as_by_dense(host_setup: Setup, scoring: str) -> None:
    check(host_setup, Question(QUESTION, ("left", "to the right and then up", "no"), scoring=scoring))


def test_a_text_is_that_of_dense(host_setup: Setup) -> None:
    check(host_setup, Question(QUESTION))


def check(setup: Setup, question: Question) -> None:
    asked = ask(setup)
    model = HostModel(setup.model.host, share_weights(setup.model.network))
    encoder = PromptEncoder(model.host)
    video = Shown(setup.samples[0])
    memory, prediction = asked.read()
    decoding = Decoding(max_new_tokens=5)
    found = Replier(model, asked.reader, encoder).reply(
        video, question, Prompted(memory, prediction, NOTHING), decoding=decoding
    )
    known = ask_batch(Asking(model, encoder), [video], [question], decodings=[decoding])[0]
    assert found.likelihoods == pytest.approx(known.likelihoods, rel=1e-4)
    assert found.scores == pytest.approx(known.scores, rel=1e-3, abs=1e-4)
    assert found.first_token > 0
    same = {"likelihoods": (), "scores": (), "first_token": 0.0, "removed": None}
    assert replace(found, **same) == replace(known, **same)
