"""Errors of the exchange between parties. Each is one sentence."""

from __future__ import annotations

from fedlit.errors import InputError


class BrokenProtocol(InputError):
    """A protocol breaks the contract: a deadlock, a message that nobody reads, a part that may not travel in the
    clear."""


class PartyLost(InputError):
    """The process of a party has ended in the middle of a run, because it was killed or has no memory left."""


class PartyFailed(RuntimeError):
    """A party raised: its name, round and phase, with the party's exception as the cause."""


def place(party: str, phase: str, number: int) -> str:
    """
    Args:
        number: of the round; the last complete one before `align` and `setup`.

    >>> place("host", "predict", 3), place("host", "setup", 0)
    ('host, phase predict of round 3', 'host, phase setup before round 1')
    """
    when = f"of round {number}" if phase in ("round", "predict") else f"before round {number + 1}"
    return f"{party}, phase {phase} {when}"
