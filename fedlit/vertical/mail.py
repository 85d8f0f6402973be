"""The messages of one phase: posted by a party, in a queue until the receiver takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedlit.vertical.contract_errors import BrokenProtocol
from fedlit.vertical.party import Recv


@dataclass(frozen=True)
class Letter:
    """A message on its way.

    Attributes:
        content: the bytes of its parts (`fedlit.vertical.wire`).
    """

    sender: str
    receiver: str
    name: str
    content: bytes


Tap = Callable[[Letter], None]
"""Sees each letter that is posted, as a wire-tapper would."""


class Mail:
    """Queues by sender, receiver and name.

    Args:
        parties: names of all.
        taps: see each letter, before it is in a queue.
    """

    def __init__(self, parties: Sequence[str], taps: Sequence[Tap] = ()):
        self.parties, self.taps = tuple(parties), tuple(taps)
        self._queues: dict[tuple[str, str, str], deque[bytes]] = {}

    def post(self, letter: Letter) -> None:
        """
        Raises:
            BrokenProtocol: nobody has the receiver's name, or the sender writes to itself.
        """
        self._check(letter.receiver, letter.sender, f"sends {letter.name} to")
        for tap in self.taps:
            tap(letter)
        self._queues.setdefault((letter.sender, letter.receiver, letter.name), deque()).append(letter.content)

    def take(self, receiver: str, wanted: Recv) -> bytes | None:
        """The oldest message that this request asks for; None if none has come.

        Raises:
            BrokenProtocol: nobody has the sender's name, or the receiver waits for itself.
        """
        self._check(wanted.sender, receiver, f"waits for {wanted.name} from")
        queue = self._queues.get((wanted.sender, receiver, wanted.name))
        return queue.popleft() if queue else None

    def check_read(self) -> None:
        """
        Raises:
            BrokenProtocol: the phase is over, and a message was not read.
        """
        for (sender, receiver, name), queue in self._queues.items():
            if queue:
                raise BrokenProtocol(f"{sender} has sent {name} to {receiver}, and {receiver} does not read it.")

    def _check(self, name: str, party: str, does: str) -> None:
        others = [other for other in self.parties if other != party]
        if name not in others:
            raise BrokenProtocol(f"{party} {does} {name}, and the other parties are {', '.join(others) or 'none'}.")


def deadlock(waiting: Mapping[str, Recv]) -> BrokenProtocol:
    """All parties that have not ended the phase wait for messages that nobody sends.

    >>> print(deadlock({"guest": Recv("host", "histograms")}))
    guest waits for histograms from host, and nobody sends them.
    """
    waits = [f"{party} waits for {recv.name} from {recv.sender}" for party, recv in waiting.items()]
    return BrokenProtocol(f"{', '.join(waits)}, and nobody sends them.")
