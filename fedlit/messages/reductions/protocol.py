"""The contract of a reduction of several trips: the server asks the clients again before it knows the message."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.reductions.base import Reduction
from fedlit.messages.wire import Wire, check_rows
from fedlit.round import Round

Kept = dict[str, Any]
"""What a client keeps from one trip of a round to the next: tensors (K, ...) by name. It never reaches the server and
no checkpoint."""


@dataclass
class Asked:
    """What the server sends for the next trip.

    Attributes:
        clients: those that it asks, among those that have answered so far, in their order.
        to_all: what each of them receives, without axis K.
        to_each: what each receives beside it, (K, ...).
    """

    clients: list[int]
    to_all: Wire = field(default_factory=dict)
    to_each: Wire = field(default_factory=dict)

    def rows_of(self, answered: Sequence[int]) -> list[int]:
        """Where the clients that are asked are among those that have answered.

        >>> Asked([2, 7]).rows_of([0, 2, 5, 7])
        [1, 3]

        Raises:
            ValueError: one has not answered, or they are in another order: `to_each` would reach other clients.
        """
        rows: list[int] = []
        for client in self.clients:
            rows.append(answered.index(client, rows[-1] + 1 if rows else 0))
        return rows


def check_asked(asked: Any, answered: Sequence[int], origin: str) -> None:
    """
    Args:
        asked: what `ask` returned.
        answered: the clients that have answered so far.
        origin: whose `ask` it was, for the sentence.

    Raises:
        InputError: it is no `Asked`, it names other clients, or a part is no tensor or has other rows.
    """
    if not isinstance(asked, Asked) or not isinstance(asked.clients, list):
        clients = f" whose clients are a {type(asked.clients).__name__}" if isinstance(asked, Asked) else ""
        raise InputError(
            f"ask of {origin} returns {type(asked).__name__}{clients}; return Asked(clients), with a list of clients' "
            "numbers, which may be empty."
        )
    try:
        asked.rows_of(answered)
    except ValueError:
        raise InputError(
            f"ask of {origin} names the clients {asked.clients}, and those that have answered are {list(answered)}; "
            "name some of these, in this order."
        ) from None
    check_rows(asked.to_each, len(asked.clients), f"ask of {origin}", "to_each")
    check_rows({key: [value] for key, value in asked.to_all.items()}, 1, f"ask of {origin}", "to_all")


@dataclass
class ProtocolClient:
    """K clients while they follow a protocol.

    Attributes:
        number: (K, 1) int64: the clients.
        examples: (K, 1): their training samples.
        round: as every client knows it.
        trip: its number, from 1.
        received: `Asked.to_all`, without axis K; empty in the first trip.
        received_each: `Asked.to_each`, (K, ...).
        refusals: row -> why, see `refuse`.
    """

    number: Tensor
    examples: Tensor
    round: Round
    trip: int = 1
    received: Wire = field(default_factory=dict)
    received_each: Wire = field(default_factory=dict)
    refusals: dict[int, str] = field(default_factory=dict)

    @property
    def clients(self) -> list[int]:
        return self.number[:, 0].tolist()

    def refuse(self, rows: Sequence[int], why: str) -> None:
        """These clients send nothing: they count as lost and keep their states; `why` ends their sentence."""
        for row in rows:
            self.refusals.setdefault(row, why)


class Protocol(Reduction, ABC):
    """A reduction of several trips. Clients follow `first` and then `answer`, the server `add` and `ask` in turn.

    A client that is lost in one trip is not asked in the next one. After the last trip `finish` gives the message.

    Example, a sum of which the server asks a second time, so that it has the mean of both:

    >>> import torch
    >>> from fedlit.messages.reductions.base import Reduced
    >>> from fedlit.messages.wire import unflatten_message
    >>> from fedlit.server_round import ServerRound
    >>> class Twice(Protocol):  # in mine.py, chosen by reduction._target_=mine.Twice
    ...     trips, message_trip = 2, 1
    ...
    ...     def begin(self):
    ...         self.sums = [{}]
    ...
    ...     def first(self, client, wire, weighting):
    ...         return wire, wire
    ...
    ...     def answer(self, client, kept):
    ...         return kept, kept
    ...
    ...     def ask(self):
    ...         self.sums.append({})
    ...         return Asked(list(self.round.arrived))
    ...
    ...     def add(self, clients, wire, examples):
    ...         for key, value in wire.items():
    ...             self.sums[-1][key] = self.sums[-1].get(key, 0) + value.sum(0)
    ...
    ...     def finish(self):
    ...         first, second = self.sums
    ...         return Reduced(unflatten_message({key: (first[key] + second[key]) / 2 for key in first}))
    >>> server = Twice().start({}, ServerRound(number=1, seed=0, cohort=[0, 1], clients=2))
    >>> for _ in range(2):
    ...     server.add([0, 1], {"c": torch.tensor([[1.0], [2.0]])}, torch.ones(2, 1))
    ...     _ = server.ask() if len(server.sums) == 1 else None
    >>> server.finish().message
    {'c': tensor([3.])}
    """

    message_trip: ClassVar[int] = 1
    """The trip in which the message itself is sent. A client that is lost later still counts as arrived, because its
    message is in the sum."""

    # --- the client's half ------------------------------------------------------------------------
    @abstractmethod
    def first(self, client: ProtocolClient, wire: Wire, weighting: Mapping[str, str]) -> tuple[Wire, Kept]:
        """The first trip of K clients: what they send, (K, ...), and what they keep.

        Args:
            wire: their messages (K, ...), after all stages.
        """

    @abstractmethod
    def answer(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        """A later trip: what they send, and what they keep, both (K, ...)."""

    # --- the server's half ------------------------------------------------------------------------
    @abstractmethod
    def ask(self) -> Asked:
        """After a trip whose messages have been added: what the server sends for the next one."""
