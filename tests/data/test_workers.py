import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from himmel.data import workers
from himmel.data.workers import MEGABYTE, Apart, Failure, Limits, run_apart
from process_groups import gone
from work_apart import misbehave

SHORT = Limits(seconds=3)
LONG = Limits(seconds=120)


def outcomes(items: list[str], *, limits: Limits = LONG) -> dict[str, Failure | None]:
    found = {}
    for outcome in run_apart(misbehave, items, workers=1, limits=limits):
        assert (outcome.value is None) == (outcome.failure is not None)
        found[outcome.item] = outcome.failure
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_each_trouble_costs_its_item_and_says_what_it_was() -> None:
    found = outcomes(["a", "crash", "b", "exit", "refuse", "bug", "c"])
    assert found == {
        "a": None,
        "b": None,
        "c": None,
        "crash": Failure("crash", "SIGSEGV"),
        "exit": Failure("crash", "exit code 7"),
        "refuse": Failure("refused", "it is a poem."),
        "bug": Failure("unexpected", "KeyError: 'key'"),
    }


def test_what_hangs_is_ended_when_its_time_is_up_and_the_next_is_done() -> None:
    begin = time.monotonic()
    found = outcomes(["hang", "a"], limits=SHORT)
    assert found == {"hang": Failure("time"), "a": None}
    # The start of two processes on a busy machine included.
    assert 3 <= time.monotonic() - begin < 120


def test_an_item_may_have_several_times_the_time() -> None:
    limits = Limits(seconds=1)
    found = {
        times: next(run_apart(misbehave, ["slow"], workers=1, limits=limits, times=lambda item, times=times: times))
        for times in (1, 60)
    }
    assert [found[times].failure for times in (1, 60)] == [Failure("time"), None]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_what_ended_a_worker_that_had_nothing_to_do_costs_no_item() -> None:
    apart = Apart(misbehave, LONG)
    first = apart("a").value
    assert isinstance(first, int)
    os.kill(first, signal.SIGKILL)
    # Until it has ended, which is left to be found.
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    second = apart("b")
    assert (second.failure, second.value not in (None, first)) == (None, True)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_whose_own_alarm_is_heard_first_ran_out_of_time() -> None:
    assert outcomes(["alarm", "a"]) == {"alarm": Failure("time"), "a": None}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")
def test_what_wants_more_memory_than_it_may_have_is_refused_it() -> None:
    limits = Limits(seconds=120, memory=300 * MEGABYTE)
    assert outcomes(["fill", "a"], limits=limits) == {"fill": Failure("memory"), "a": None}
    assert outcomes(["fill"], limits=Limits(seconds=120, memory=900 * MEGABYTE)) == {"fill": None}


def test_a_value_for_whose_copy_there_is_no_memory_was_too_large() -> None:
    assert outcomes(["send", "a"]) == {"send": Failure("memory"), "a": None}


def test_a_worker_that_is_well_is_kept_and_several_share_the_items() -> None:
    items = [str(number) for number in range(40)]
    found = list(run_apart(misbehave, items, workers=2, limits=Limits()))
    assert sorted(outcome.item for outcome in found) == sorted(items)
    assert 1 <= len({outcome.value for outcome in found}) <= 2


def test_a_worker_is_replaced_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_TURN", 3)
    found = [outcome.value for outcome in run_apart(misbehave, "abcdefg", workers=1, limits=LONG)]
    assert [found.count(pid) for pid in dict.fromkeys(found)] == [3, 3, 1]


def test_no_items_start_no_process() -> None:
    assert list(run_apart(misbehave, [], workers=4, limits=LONG)) == []


def test_items_are_taken_one_by_one() -> None:
    taken = []

    def items() -> Iterator[str]:
        for number in range(10):
            taken.append(number)
            yield str(number)

    run = run_apart(misbehave, items(), workers=1, limits=Limits())
    next(run)
    assert taken == [0]
    run.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_fork_starts_a_process_of_its_own_and_leaves_the_other_alone() -> None:
    apart = Apart(misbehave, LONG)
    first = apart("pid").value
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    fork = context.Process(target=lambda: there.send([apart("pid").value, apart("pid").value]))
    fork.start()
    # Not for ever: a fork that fails sends nothing.
    assert here.poll(240)
    own, again = here.recv()
    fork.join()
    assert own == again != first
    assert apart("pid").value == first


def test_workers_end_when_whoever_started_them_is_killed(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ndef work(item):\n    time.sleep(0.5)\n    return item\n")
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from slow import work
from himmel.data import workers
from himmel.data.workers import Limits, run_apart
if __name__ == "__main__":
    for outcome in run_apart(work, range(1000), workers=2, limits=Limits()):
        print("at work", flush=True)
"""
    (tmp_path / "main.py").write_text(program)
    command = [sys.executable, str(tmp_path / "main.py"), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert gone(process.pid)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on files are set otherwise")
def test_more_processes_than_can_be_started_are_told_of(tmp_path: Path) -> None:
    program = """
import resource
from work_apart import misbehave
from himmel.data.workers import Limits, run_apart
from himmel.errors import HimmelError
if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    try:
        list(run_apart(misbehave, [str(number) for number in range(40)], workers=40, limits=Limits()))
    except HimmelError as error:
        print(error)
"""
    (tmp_path / "main.py").write_text(program)
    here = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(tmp_path / "main.py")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": here})
    said = "A process to read files with cannot be started (Too many open files); use fewer of them (--workers).\n"
    assert (done.stdout, done.returncode) == (said, 0)
