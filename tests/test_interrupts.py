"""Ctrl-C is heeded at the places that ask for it, and handed back afterwards."""

from __future__ import annotations

import signal
import threading

import pytest

from fedlit import interrupts


@pytest.fixture(autouse=True)
def handlers_are_handed_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_next_check(number):
    with interrupts.heeded():
        interrupts.check()
        signal.raise_signal(number)
        for _ in range(2):  # it stays asked
            with pytest.raises(interrupts.Interrupted):
                interrupts.check()
    interrupts.check()  # and not for the next run of this process


def test_a_second_ctrl_c_ends_at_once():
    with interrupts.heeded():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_second_sigterm_does_not():
    with interrupts.heeded():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(interrupts.Interrupted):
            interrupts.check()


def test_handed_back_after_an_error_too():
    with pytest.raises(ZeroDivisionError), interrupts.heeded():
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError
    interrupts.check()


def test_in_another_thread_signals_are_left_alone():
    seen = []

    def work():
        before = signal.getsignal(signal.SIGINT)
        with interrupts.heeded():
            interrupts.check()
            seen.append(signal.getsignal(signal.SIGINT) is before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]
