"""A signal takes effect at the next check, and the previous signal handlers are restored afterwards."""

from __future__ import annotations

import signal
import threading

import pytest

from fedlit import interrupts

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers_are_restored():
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_next_check(number):
    with interrupts.handled():
        interrupts.check()
        signal.raise_signal(number)
        for _ in range(2):  # every later check raises too
            with pytest.raises(interrupts.Interrupted):
                interrupts.check()
    interrupts.check()  # the next run of this process is not interrupted


def test_the_first_signal_is_passed_on_once():
    calls = []
    with interrupts.handled(lambda: calls.append("asked")):
        assert calls == []
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert calls == ["asked"]


def test_a_second_ctrl_c_raises_at_once():
    with interrupts.handled():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(interrupts.Stopped):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_second_sigterm_or_sighup_waits_for_the_next_check(number):
    with interrupts.handled():
        signal.raise_signal(number)
        signal.raise_signal(number)
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


@pytest.mark.parametrize(("number", "code"), list(zip(SIGNALS, (130, 143, 129), strict=True)))
def test_outside_of_rounds_a_signal_ends_the_command_at_once(number, code):
    with pytest.raises(interrupts.Stopped) as stopped, interrupts.at_once():
        signal.raise_signal(number)
    assert stopped.value.exit_code == code
    interrupts.check()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_of_an_inner_command_can_be_sent_again_to_the_outer_one(number):
    """`fedlit.simulate` in a command of its own: a run in it was stopped by the signal."""
    with pytest.raises(interrupts.Stopped) as outer, interrupts.at_once():
        with pytest.raises(interrupts.Stopped), interrupts.at_once(), interrupts.handled():
            signal.raise_signal(number)
            raise interrupts.Stopped(number)  # after the last round was saved
        signal.raise_signal(number)
    assert outer.value.number == number


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


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("block", [interrupts.at_once, interrupts.handled])
def test_a_signal_that_is_ignored_stays_ignored(number, block):
    """As under `nohup`, and Ctrl-C for a script's job in the background."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with interrupts.at_once(), block():
            signal.raise_signal(number)
            interrupts.check()
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)
