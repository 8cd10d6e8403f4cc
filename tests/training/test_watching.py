from pathlib import Path

import pytest
import torch

from hand_clock import clock_by_hand
from himmel.adapter import MotionAdapter
from himmel.errors import RecipeError
from himmel.training.alignment import AlignmentModel
from himmel.training.recipe import AlignmentSection, ComputeSection, OptimizerSection
from himmel.training.trainer import training_arguments
from himmel.training.watching import Pace, gradient_norms
from tiny_hosts import tiny_adapter
from two_processes import make_batch


def test_each_part_has_the_norm_of_its_gradient() -> None:
    torch.manual_seed(0)
    learner = AlignmentModel(MotionAdapter(tiny_adapter(24)), section=AlignmentSection(), probes=None).double()
    batch = {name: value for name, value in make_batch().items() if not name.startswith("probe")}
    output = learner(**batch)
    output["loss"].backward()
    norms = gradient_norms(learner)
    assert {"gradient_motion", "gradient_residual", "gradient_context", "gradient_encoder"} <= set(norms)
    whole = torch.cat([one.grad.flatten() for one in learner.parameters() if one.grad is not None]).norm()
    assert sum(norm**2 for norm in norms.values()) ** 0.5 == pytest.approx(float(whole), rel=1e-5)
    shares = [float(output["parts"][f"gate_{name}"]) for name in ("motion", "residual", "context")]
    assert sum(shares) == pytest.approx(1)


def test_waiting_is_a_share_of_the_time_since_it_was_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = clock_by_hand(monkeypatch, "perf_counter")
    pace = Pace()
    clock.turn(5)
    pace.add_waiting(0.5)
    pace.add_waiting(1.5)
    assert pace.take()["waiting"] == pytest.approx(2 / 5)
    clock.turn(5)
    assert pace.take()["waiting"] == 0
    # Loaders that are waited for at once may add up to more.
    clock.turn(5)
    pace.add_waiting(6)
    assert pace.take()["waiting"] == 1


def test_what_is_done_is_counted_by_the_second_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = clock_by_hand(monkeypatch, "perf_counter")
    pace = Pace()
    clock.turn(5)
    pace.add_work({"tokens": torch.tensor(30)})
    pace.add_work({"tokens": torch.tensor(70)})
    doubled = pace.take(over_all=lambda own: {name: 2 * value for name, value in own.items()})
    assert doubled["tokens_per_second"] == pytest.approx(200 / 5)
    clock.turn(5)
    assert set(pace.take()) == {"waiting"}
    # Time that was spent on something else than training is left out.
    pace.add_work({"tokens": torch.tensor(100)})
    clock.turn(10)
    pace.leave_out(9)
    assert pace.take()["tokens_per_second"] == pytest.approx(100 / 1)


def test_a_tracker_that_is_not_installed_is_one_sentence(tmp_path: Path) -> None:
    compute = ComputeSection(report_to=("trackio",))
    with pytest.raises(RecipeError, match="names 'trackio', which is not installed; run `pip install trackio`"):
        training_arguments(OptimizerSection(), compute, tmp_path, seed=0)
