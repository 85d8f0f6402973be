"""The contract of a reduction."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from fedlit.client import Client
from fedlit.messages.wire import Wire
from fedlit.server_round import ServerRound

Self = TypeVar("Self", bound="Reduction")


class Reduction(ABC):
    """Reduces the messages of a round to one. `self` holds hyperparameters; `start` makes the copy for one round.

    Example, the largest absolute value of each entry:

    >>> import torch
    >>> from fedlit.messages.wire import unflatten_message
    >>> class Largest(Reduction):  # in mine.py, chosen by reduction._target_=mine.Largest
    ...     def begin(self):
    ...         self.largest = {}
    ...
    ...     def add(self, clients, wire, examples):
    ...         for key, value in wire.items():
    ...             chunk = value.abs().amax(0)
    ...             self.largest[key] = chunk.maximum(self.largest.get(key, chunk))
    ...
    ...     def finish(self):
    ...         return unflatten_message(self.largest)
    >>> largest = Largest().start({}, ServerRound(number=1, seed=0, cohort=[0, 1], clients=2))
    >>> largest.add([0, 1], {"c": torch.tensor([[1.0, -4.0], [2.0, 3.0]])}, torch.ones(2, 1))
    >>> largest.finish()
    {'c': tensor([2., 4.])}
    """

    blind: ClassVar[bool] = False
    """The server sees sums only: `Aggregator.unpack` runs on the clients, and no stage may need decoding."""

    zero_without_clients: ClassVar[bool] = False
    """A round that asks no client reduces to zeros, of the shapes of one message: sum_k m_k over the sampler's expected
    number of clients. Otherwise the server keeps its state in such a round."""

    weighs_by_messages: ClassVar[bool] = False
    """It can weigh messages by a part of them, weighting {"delta": "w"}: `messages.weights.message_weights` gives the
    weights, and "w" reduces to its sum. Another reduction is refused under an algorithm with such a weighting."""

    weighting: Mapping[str, str]
    round: ServerRound

    def encode(self, client: Client, wire: Wire, weighting: Mapping[str, str]) -> Wire:
        """The client half, the last step before sending: the wires (K, ...) of K clients."""
        return wire

    def start(self: Self, weighting: Mapping[str, str], round: ServerRound) -> Self:
        """A copy that collects the messages of this round."""
        collector = copy.copy(self)
        collector.weighting, collector.round = weighting, round
        collector.begin()
        return collector

    @abstractmethod
    def begin(self) -> None:
        """Called by `start`: prepare to collect, with no message so far."""

    @abstractmethod
    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        """Add a chunk of messages (K, ...), in cohort order; `examples` (K, 1) are the clients' training samples.

        Every number is finite. A value whose rows have unequal lengths is a list of K tensors (see `Wire`).
        """

    @abstractmethod
    def finish(self) -> dict[str, Any]:
        """The reduced message, without the axis K; empty if no message was added. The server then keeps its state."""
