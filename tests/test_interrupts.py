import signal
import subprocess
import sys
import threading
import time

import pytest

from himmel._interrupts import interrupts_held

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def interrupted(thread: int) -> list[str]:
    """What happened, in order, when the thread heard Ctrl-C inside a block that holds it back."""
    happened = []
    try:
        with interrupts_held():
            signal.pthread_kill(thread, signal.SIGINT)
            time.sleep(0.05)
            happened.append("whole")
    except KeyboardInterrupt:
        happened.append("interrupt")
    return happened


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    assert interrupted(threading.get_ident()) == ["whole", "interrupt"]


def test_an_interrupt_that_another_thread_hears_waits_too() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert thread.ident is not None
        assert interrupted(thread.ident) == ["whole", "interrupt"]
    finally:
        end.set()
        thread.join()


def test_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_held():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_process_that_is_started_in_it_is_not_interrupted() -> None:
    with interrupts_held():
        process = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(0.3)"], stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    process.stdout.close()
