import signal
import socket
import subprocess
import sys
import threading

import pytest

from himmel._interrupts import interrupts_held, interrupts_kept

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def interrupted(thread: int) -> list[str]:
    """What happened, in order, when the thread heard Ctrl-C inside a block that holds it back."""
    happened = []
    heard, tell = socket.socketpair()
    tell.setblocking(False)
    with heard, tell:
        before = signal.set_wakeup_fd(tell.fileno())
        try:
            with interrupts_held():
                signal.pthread_kill(thread, signal.SIGINT)
                # The byte comes once another thread has heard it, and the handler is called before the next statement.
                # This thread hears it when the block ends.
                if thread != threading.get_ident():
                    heard.recv(1)
                happened.append("whole")
        except KeyboardInterrupt:
            happened.append("interrupt")
        finally:
            signal.set_wakeup_fd(before)
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


def lose_an_interrupt() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return
    pytest.fail("no interrupt came")


def test_an_interrupt_that_a_library_lost_is_raised_at_the_end_of_the_block() -> None:
    happened = []
    try:
        with interrupts_kept():
            lose_an_interrupt()
            happened.append("whole")
    except KeyboardInterrupt:
        happened.append("interrupt")
    assert happened == ["whole", "interrupt"]


def test_a_lost_interrupt_comes_before_another_error_of_the_block() -> None:
    def lose_it_and_fail() -> None:
        lose_an_interrupt()
        raise EOFError

    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        lose_it_and_fail()


def test_an_interrupt_that_is_not_lost_is_raised_once_where_it_came() -> None:
    happened = []
    before = signal.getsignal(signal.SIGINT)
    try:
        with interrupts_kept(), interrupts_kept():
            signal.raise_signal(signal.SIGINT)
            happened.append("after")
    except KeyboardInterrupt:
        happened.append("interrupt")
    assert happened == ["interrupt"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_that_raises_nothing_is_left_to_do_so() -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with interrupts_kept():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_other_threads_read_as_before() -> None:
    happened = []

    def read() -> None:
        with interrupts_kept():
            happened.append("read")

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert happened == ["read"]


def test_a_process_that_is_started_in_it_is_not_interrupted() -> None:
    with interrupts_held():
        process = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
