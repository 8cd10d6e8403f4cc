"""The verdicts on the report's claims, on adapters whose answer is known."""

import numpy as np
import pytest
from benchmarks import claims
from benchmarks.claims import Seen

from himmel.nano.draw import draw_spec
from himmel.settings import own_settings
from himmel.training.plan import plan_stages
from himmel.training.resolve import resolve_recipe

INTERVALS, CLIPS, WIDTH = 400, 50, 16


def _seen(seed: int, *, found: float, tells: bool, moved: float = 0.25) -> Seen:
    """Intervals of which a share finds its own change, whose embedding tells the direction or is noise."""
    rng = np.random.default_rng(seed)
    direction = rng.integers(-1, 4, INTERVALS)
    activity = np.where(direction >= 0, 1, 0)
    embedding = rng.standard_normal((INTERVALS, WIDTH))
    if tells:
        embedding[:, :5] += 4 * np.eye(5)[direction + 1]
    shares = np.tile([0.25, 0.25, 0.5], (INTERVALS, 1))
    shares[activity == 1] = [moved, 0.5 - moved, 0.5]
    return Seen(
        clip=np.arange(INTERVALS) % CLIPS,
        embedding=embedding,
        own=rng.random(INTERVALS) < found,
        counted=np.ones(INTERVALS, bool),
        activity=activity,
        direction=direction,
        shares=shares,
    )


def _rows(**found: Seen) -> dict[tuple[str, int], tuple[Seen, Seen]]:
    names = {name.replace(" ", "_"): name for name in claims.ROWS}
    return {(names[key], 0): (one, one) for key, one in found.items()}


@pytest.mark.parametrize("name", claims.ROWS)
def test_rows_draw_an_adapter_of_their_own(name: str) -> None:
    """What they begin with has another adapter than any of them, so that none is carried over."""
    start, row = (
        plan_stages(resolve_recipe("default", base="nano", overrides=changes).recipe)[-1].config.adapter
        for changes in (claims.START, {"stages": "[1]", **claims.ROWS[name]})
    )
    assert own_settings(start) != own_settings(row)


@pytest.mark.parametrize(
    ("with_context", "share", "verdict"),
    [(0.5, 0.0, "holds here"), (0.5, 0.3, "does not hold here"), (0.0, 0.0, "cannot tell")],
)
def test_alignment_without_context_converged_if_it_finds_more_than_an_untrained_adapter(
    with_context: float, share: float, verdict: str
) -> None:
    rows = _rows(
        all_streams=_seen(0, found=with_context, tells=True),
        motion_and_residual=_seen(1, found=share, tells=True),
        context=_seen(2, found=0.5, tells=False),
        untrained=_seen(3, found=0.003, tells=False),
    )
    assert claims._convergence(rows)["verdict"] == verdict


@pytest.mark.parametrize(
    ("nce", "squared", "verdict"),
    [(True, False, "holds here"), (False, True, "does not hold here"), (True, True, "cannot tell")],
)
def test_direction_is_compared_on_the_same_movements(nce: bool, squared: bool, verdict: str) -> None:
    rows = _rows(
        all_streams=_seen(0, found=0, tells=nce),
        mean_squared_error=_seen(0, found=0, tells=squared),
        untrained=_seen(0, found=0, tells=False),
    )
    assert claims._direction(rows)["verdict"] == verdict


def test_a_linear_map_reads_the_direction_of_clips_that_it_was_not_fitted_to() -> None:
    held = _seen(5, found=0, tells=True)
    found = claims._fit_and_read(_seen(4, found=0, tells=True), held)
    assert (found == held.direction[held.direction >= 0]).mean() > 0.95
    noise = claims._fit_and_read(_seen(4, found=0, tells=False), held)
    assert (noise == held.direction[held.direction >= 0]).mean() < 0.5


@pytest.mark.parametrize(("moved", "verdict"), [(0.3, "holds here"), (0.255, "does not hold here")])
def test_gates_route_if_they_differ_by_more_than_a_point(moved: float, verdict: str) -> None:
    found = claims._gates(_rows(all_streams=_seen(0, found=0, tells=True, moved=moved)))
    assert found["verdict"] == verdict
    assert found["difference"]["share"] == pytest.approx(moved - 0.25)


@pytest.mark.parametrize(("late", "early", "verdict"), [(1, 0, "holds here"), (0, 1, "does not hold here")])
def test_gain_is_compared_between_longer_and_shorter_clips(late: int, early: int, verdict: str) -> None:
    seeds = range(10_000_000, 10_000_040)
    seconds = {seed: draw_spec(seed, "eval").seconds for seed in seeds}
    middle = float(np.median(list(seconds.values())))
    answers = []
    for seed in seeds:
        right = late if seconds[seed] > middle else early
        for condition, answer in (("motion", right), ("no-motion", 0)):
            answers.append(
                {"clip": seed, "question": 0, "motion": True, "condition": condition, "chosen": answer, "answer": 1}
            )
    assert claims._duration({"answers": answers})["verdict"] == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.40, 0.60, "does not hold here"), (0.22, 0.28, "holds here"), (0.20, 0.40, "cannot tell")],
)
def test_answers_without_context_are_close_to_chance_or_not(low: float, high: float, verdict: str) -> None:
    cell = {"share": (low + high) / 2, "low": low, "high": high, "total": 112}
    rows = [
        {"row": "+ motion + residual", "seed": 0, "run": True, "all motion": cell},
        {"row": "full", "seed": 0, "run": False},
    ]
    found = claims._answers({"tables": {"1": rows}})
    assert found["verdict"] == verdict
    assert set(found["rows"]) == {"+ motion + residual"}


def test_a_file_without_the_row_is_said_to_lack_it() -> None:
    with pytest.raises(SystemExit, match=r"no row '\+ motion \+ residual' in table 1 that was run"):
        claims._answers({"tables": {"1": [{"row": "+ motion + residual", "seed": 0, "run": False}]}})
