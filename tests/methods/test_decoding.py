"""How tokens are chosen, and where each answer of a batch ends."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from himmel.errors import UsageError
from himmel.methods.choice import build
from himmel.methods.decoding import Decoding, Steps, Token
from himmel.methods.question import Question
from himmel.methods.session import Session

SHARES = torch.tensor([0.5, 0.3, 0.15, 0.05])


def draws(count: int, **options: float) -> list[int]:
    scores = SHARES.log()[None]
    return [int(Steps([Decoding(seed=seed, **options)], []).choose(scores).argmax()) for seed in range(count)]  # type: ignore[arg-type]


def test_tokens_are_drawn_by_their_probability() -> None:
    found = torch.bincount(torch.tensor(draws(4000, temperature=1.0)), minlength=4) / 4000
    # Four standard errors of the largest.
    assert (found - SHARES).abs().max() < 4 * (0.25 / 4000) ** 0.5


def test_temperature_and_top_p_bound_what_is_drawn() -> None:
    assert set(draws(300, temperature=1.0, top_p=0.7)) == {0, 1}
    assert set(draws(50, temperature=0.01)) == {0}
    assert set(draws(20, temperature=1e-44)) == {0}
    assert set(draws(20, temperature=2.0, top_p=1e-6)) == {0}


def test_log_probabilities_are_those_before_temperature() -> None:
    heard: list[Token] = []
    steps = Steps([Decoding(temperature=2.0, seed=1, alternatives=2, hear=lambda one: not heard.append(one))], [3])
    token = steps.choose(SHARES.log()[None]).argmax(-1)
    steps.stop(token)
    assert heard[0].id == int(token)
    assert heard[0].log_probability == pytest.approx(float(SHARES[token].log()))
    assert [number for number, _ in heard[0].alternatives] == [0, 1]
    assert [log for _, log in heard[0].alternatives] == pytest.approx(SHARES[:2].log().tolist())


def test_each_row_ends_by_itself() -> None:
    heard: list[int] = []

    def hear(token: Token) -> bool:
        heard.append(token.id)
        return len(heard) < 2

    steps = Steps([Decoding(max_new_tokens=3), Decoding(hear=hear), Decoding()], ends=[9])
    rows = [steps.stop(torch.tensor(tokens)) for tokens in ([1, 4, 9], [2, 5, 0], [3, 0, 0])]
    assert rows == [[False, False, True], [False, True, True], [True, True, True]]
    assert steps.ids == [[1, 2, 3], [4, 5], [9]]
    assert heard == [4, 5]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"temperature": -1}, "temperature=-1"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_p": 0}, "top_p=0"),
        ({"seed": -1}, "seed=-1"),
        ({"alternatives": 21}, "alternatives=21"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Decoding(**options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def session(tiny_host: Callable[[str], str]) -> Session:
    return Session(host=tiny_host("qwen2_5_vl"), device="cpu")


@pytest.mark.parametrize("name", ["dense", "look_m"])
def test_a_batch_gives_each_the_answer_that_it_gets_alone(session: Session, clip: Path, name: str) -> None:
    """Drawn, cut and followed, one beside the other."""
    method = build(name, num_frames=4)
    heard: list[Token] = []
    decodings = [
        Decoding(max_new_tokens=6),
        Decoding(max_new_tokens=4, temperature=1.0, seed=7, alternatives=3, hear=lambda one: not heard.append(one)),
    ]
    questions = [Question("What moves?"), Question("And where to?", before=(("What moves?", "A ball."),))]
    prepared = [session.prepare(clip, method=method, threads=1)] * 2
    both = session.answer(prepared, questions, decodings, method=method, threads=1)
    drawn, heard[:] = [one.id for one in heard], []
    alone = [
        session.answer([video], [question], [decoding], method=method, threads=1)[0]
        for video, question, decoding in zip(prepared, questions, decodings, strict=True)
    ]
    assert [one.text for one in both] == [one.text for one in alone]
    assert [one.id for one in heard] == drawn
    assert 0 < len(drawn) <= 4
    assert all(one.log_probability is not None and one.log_probability <= 0 for one in heard)
    assert both[0].text == session.ask(clip, "What moves?", method=method, max_new_tokens=6, threads=1).text


def test_earlier_turns_are_turns_of_the_prompt(session: Session, clip: Path) -> None:
    method = build("dense", num_frames=2)
    shown = session.prepare(clip, method=method, threads=1).shown
    processor = method.processor(session.plain)
    question = Question("And where to?", before=(("What moves?", "A ball."),))
    ids = processor.prompt_ids(shown.sample, shown.turns(question), motion=False)
    text = processor.host.tokenizer.decode(ids)
    assert text.index("What moves?") < text.index("A ball.") < text.index("And where to?")
    whole = processor.encode([shown.sample], [[("What moves?", "A ball."), ("And where to?", None)]], motion=False)
    assert torch.equal(whole.input_ids[0], ids)
    with pytest.raises(UsageError, match="earlier turns"):
        Question("Which?", choices=("a", "b"), before=(("What?", "A ball."),))
    with pytest.raises(UsageError, match="answer of an earlier turn is empty"):
        Question("Which?", before=(("What?", " "),))
