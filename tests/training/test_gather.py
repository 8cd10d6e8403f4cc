"""Two gloo processes against one with the whole batch."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import two_processes
from himmel.training import gather
from himmel.training.plan import plan_stages
from himmel.training.resolve import resolve_recipe
from himmel.training.run import run_stage
from tiny_hosts import nano_folder
from tiny_recipes import tiny_base

__all__ = ["nano_folder"]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[two_processes.Results]:
    """Of one process, then of each of two."""
    folder = tmp_path_factory.mktemp("shares")
    torch.multiprocessing.spawn(two_processes.measure_share, (_free_port(), str(folder)), nprocs=2)
    together = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]
    return [two_processes.in_one_process(), *together]


def test_what_flows_back_to_others_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum gives both of its terms the same gradient, in the same memory; two equal processes double the rows' own."""
    monkeypatch.setattr(gather, "num_processes", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values: values.mul_(2))
    monkeypatch.setattr(torch.distributed, "all_gather", lambda parts, own: [part.copy_(own) for part in parts])
    rows, other = torch.ones(2, 3, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    passed_on = other * 1.0
    (gather._GatherRows.apply(rows, [2, 2]) + passed_on).square().sum().backward()
    assert other.grad is not None
    assert other.grad.eq(4).all()
    assert rows.grad is not None
    assert rows.grad.eq(8).all()


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "branch"), two_processes.CASES)
def test_two_processes_have_the_loss_and_the_gradients_of_one(
    results: list[two_processes.Results], objective: str, branch: str
) -> None:
    alone, *shares = (found[objective, branch] for found in results)
    mean = sum(share["loss"] for share in shares) / 2
    assert float(mean) == pytest.approx(float(alone["loss"]), rel=1e-10)
    for share in shares:
        assert share["nce_and_the_like"] == pytest.approx(alone["nce_and_the_like"], rel=1e-9)
        assert share["gradients"].keys() == alone["gradients"].keys()
        for name, gradient in alone["gradients"].items():
            torch.testing.assert_close(share["gradients"][name], gradient, rtol=1e-7, atol=1e-10, msg=name)
        for name, statistic in alone["statistics"].items():
            torch.testing.assert_close(share["statistics"][name], statistic, rtol=1e-9, atol=1e-12, msg=name)
    assert bool(alone["statistics"]) == (branch == "resnet18")
    moved = [name for name, value in alone["gradients"].items() if value.abs().max() > 0]
    assert any(name.startswith("adapter.branches.motion") for name in moved)
    assert "probes.values.weight" in moved


@pytest.mark.slow
def test_negatives_of_the_other_process_matter(results: list[two_processes.Results]) -> None:
    """What would pass if each process kept to itself: its own loss on its own share is another."""
    batch = {name: value[two_processes.SHARES[0]] for name, value in two_processes.make_batch().items()}
    own = two_processes.measure(two_processes.make_model("infonce", "conv"), batch)
    whole = results[0]["infonce", "conv"]
    assert abs(own["nce_and_the_like"]["nce"] - whole["nce_and_the_like"]["nce"]) > 0.1
    name = "adapter.alignment_head.output.weight"
    assert not torch.allclose(own["gradients"][name], whole["gradients"][name], rtol=1e-3)


@pytest.mark.slow
def test_a_process_without_a_single_step_does_not_hang(tmp_path: Path) -> None:
    """Norms and negatives are gathered over both processes, and one has nothing to add."""
    torch.multiprocessing.spawn(two_processes.measure_idle, (_free_port(), str(tmp_path)), nprocs=2)
    shares = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]
    alone = two_processes.measure(two_processes.make_model("hybrid", "resnet18"), two_processes.idle_batch())
    assert float(sum(share["loss"] for share in shares)) / 2 == pytest.approx(float(alone["loss"]), rel=1e-9)
    for name, gradient in alone["gradients"].items():
        torch.testing.assert_close(shares[0]["gradients"][name], gradient, rtol=1e-7, atol=1e-10, msg=name)


@pytest.mark.slow
def test_every_token_of_an_answer_counts_the_same_in_whichever_process(nano_folder: str, tmp_path: Path) -> None:
    """A mean over each process's own tokens would weigh a short answer's more than a long one's."""
    alone = two_processes.answers(nano_folder, slice(0, 2))
    torch.multiprocessing.spawn(two_processes.measure_answers, (_free_port(), nano_folder, str(tmp_path)), nprocs=2)
    shares = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]
    assert abs(float(shares[0]["loss"] - shares[1]["loss"])) > 0.1
    assert float(sum(share["loss"] for share in shares)) / 2 == pytest.approx(float(alone["loss"]), rel=1e-5)
    moved = 0
    for name, gradient in alone["gradients"].items():
        torch.testing.assert_close(shares[0]["gradients"][name], gradient, rtol=1e-3, atol=1e-6, msg=name)
        moved += int(gradient.abs().max() > 0)
    assert moved > 20


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize(("stage", "file"), [(1, "adapter.safetensors"), (2, "lora/adapter_model.safetensors")])
def test_a_stage_in_two_processes_ends_where_it_ends_in_one(
    nano_folder: str, tmp_path: Path, stage: int, file: str
) -> None:
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    # One clip, since the order of clips depends on the number of processes, and all of its questions.
    few = {
        "stages": f"[{stage}]",
        "projector": "null",
        f"stage{stage}.optimizer.batch_size": "2",
        "stage2.blind_share": "0",
        "stage2.sentence_share": "0",
        "data": "{clips: 1, first_seed: 1}",
    }
    alone = plan_stages(resolve_recipe("default", base=base, overrides=few).recipe)[0]
    run_stage(alone)
    together = replace(alone, output=tmp_path / "together")
    assert together.key == alone.key
    torch.multiprocessing.spawn(two_processes.run_stage_together, (_free_port(), together), nprocs=2)
    first, second = (load_file(one.folder / file) for one in (alone, together))
    for name, value in first.items():
        # Checkpoints are bfloat16, of eight bits.
        torch.testing.assert_close(second[name], value, rtol=2e-2, atol=2e-4, msg=name)
    records = [json.loads((one.folder / "training" / f"stage{stage}.json").read_text()) for one in (alone, together)]
    losses = [record["log"][-1]["train_loss"] for record in records]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
