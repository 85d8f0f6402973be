"""What a party is: a generator over messages, with a state that it is given and returns.

A party asks for a message of one named sender by `yield Recv(sender, name)`. It never takes a message of anybody who
comes first, so the order in which an engine steps the parties cannot change a result (Kahn 1974, "The semantics of a
simple language for parallel programming").
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sealed:
    """Ciphertexts, as bytes. A key seals and opens them (`fedlit.vertical.ciphers`).

    Attributes:
        blobs: the bytes of each ciphertext.
        shape: of the array of ciphertexts; its product is their number.
    """

    blobs: tuple[bytes, ...]
    shape: tuple[int, ...]


Part = np.ndarray | Sealed
Message = dict[str, Part]
"""Parts by name: arrays of numbers or truth values, and ciphertexts."""

State = dict[str, Any]
"""What a party keeps from round to round: tensors, numbers, texts, and lists and dicts of them. It is saved."""

Facts = dict[str, float]
"""Numbers about a phase, by name; they are in the row of metrics as `party/<party>/<name>`."""


@dataclass(frozen=True)
class Send:
    """Send a message to one party. The party goes on at once.

    Attributes:
        to: the receiver.
        name: of the message, such as "histograms".
        body: its parts.
    """

    to: str
    name: str
    body: Mapping[str, Part]


@dataclass(frozen=True)
class Recv:
    """Wait for the next message of this name from one sender; the `yield` gives its `Message`."""

    sender: str
    name: str


Steps = Generator[Send | Recv, Any, tuple[State, Facts]]


class Party:
    """One participant of a protocol. A subclass writes the phases that it takes part in.

    On `self` are hyperparameters, the party's columns, and the keys of this start. All that changes from round to round
    is in the state. A phase returns a new state and leaves the given one as it is: a round counts for all parties or
    for none, and one that breaks off is repeated from the same states. A phase that exchanges no message may be a plain
    method that returns both.

    >>> class Sender(Party):
    ...     def round(self, state, number):
    ...         yield Send("guest", "number", {"value": np.array([float(number)])})
    ...         return state, {}
    """

    def setup(self, state: State) -> Steps:
        """At every start of a run, also of a resumed one: keys, bins, first states. `state` is empty in a new run.

        Keys come from the operating system. They are made new at each start and are never part of a state.
        """
        return state, {}
        yield  # a generator without a step

    def round(self, state: State, number: int) -> Steps:
        """Round `number`, from 1."""
        return state, {}
        yield

    def predict(self, state: State, number: int) -> Steps:
        """Predict for the test people after round `number`. The guest, which holds their targets, returns measures."""
        return state, {}
        yield
