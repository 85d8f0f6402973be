"""Ctrl-C takes effect at the next check, and the previous signal handlers are restored afterwards."""

from __future__ import annotations

import signal
import threading

import pytest

from fedlit import interrupts


@pytest.fixture(autouse=True)
def handlers_are_restored():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_next_check(number):
    with interrupts.handled():
        interrupts.check()
        signal.raise_signal(number)
        for _ in range(2):  # every later check raises too
            with pytest.raises(interrupts.Interrupted):
                interrupts.check()
    interrupts.check()  # the next run of this process is not interrupted


def test_a_second_ctrl_c_raises_at_once():
    with interrupts.handled():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(interrupts.Stopped):
            signal.raise_signal(signal.SIGINT)


def test_a_second_sigterm_waits_for_the_next_check():
    with interrupts.handled():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(interrupts.Interrupted):
            interrupts.check()


def test_handlers_are_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), interrupts.handled():
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError
    interrupts.check()


def test_another_thread_leaves_the_handlers_unchanged():
    unchanged = []

    def work():
        handler = signal.getsignal(signal.SIGINT)
        with interrupts.handled():
            interrupts.check()
            unchanged.append(signal.getsignal(signal.SIGINT) is handler)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert unchanged == [True]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_outside_of_rounds_a_signal_ends_the_command_at_once(number, code):
    with pytest.raises(interrupts.Stopped) as stopped, interrupts.at_once():
        signal.raise_signal(number)
    assert stopped.value.exit_code == code
    interrupts.check()


def test_no_except_exception_catches_a_signal():
    with pytest.raises(interrupts.Interrupted), interrupts.handled():
        try:
            signal.raise_signal(signal.SIGTERM)
            interrupts.check()
        except Exception:
            pass


def test_a_deferred_request_is_seen_after_the_block():
    with interrupts.handled():
        with interrupts.deferred():
            signal.raise_signal(signal.SIGINT)
            interrupts.check()
        with pytest.raises(interrupts.Interrupted):
            interrupts.check()
