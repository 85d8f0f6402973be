"""The contract of a reduction."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from fedlit.client import Client
from fedlit.messages.plan import MessagePlan
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout, Model
from fedlit.server_round import ServerRound

Self = TypeVar("Self", bound="Reduction")


@dataclass
class Reduced:
    """What a reduction makes of the messages of a round.

    Attributes:
        message: the reduced message, without the axis K; empty if no message was added.
        state: what the server keeps of the reduction from now on; None: what it kept.
        report: numbers for the row of metrics, which get the names `reduction/<name>`.
        excluded: clients whose messages have no part in the reduced one; None where the reduction excludes nobody.
    """

    message: dict[str, Any]
    state: dict[str, Any] | None = None
    report: dict[str, float] = field(default_factory=dict)
    excluded: Sequence[int] | None = None


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
    ...         return Reduced(unflatten_message(self.largest))
    >>> largest = Largest().start({}, ServerRound(number=1, seed=0, cohort=[0, 1], clients=2))
    >>> largest.add([0, 1], {"c": torch.tensor([[1.0, -4.0], [2.0, 3.0]])}, torch.ones(2, 1))
    >>> largest.finish().message
    {'c': tensor([2., 4.])}
    """

    blind: ClassVar[bool] = False
    """The server sees sums only: `Aggregator.unpack` runs on the clients, and no stage may need decoding."""

    single: ClassVar[bool] = False
    """The server needs each client's own message: the reduction is no mean. It does not go together with a stage of
    several trips, or within a blind reduction."""

    hands_over: ClassVar[bool] = False
    """The algorithm gets every message, (K, ...), instead of one."""

    trips: ClassVar[int] = 1
    """Messages of a client in one round; see `Protocol` for several."""

    zero_without_clients: ClassVar[bool] = False
    """A round that asks no client reduces to zeros, of the shapes of one message: sum_k m_k over the sampler's expected
    number of clients. Otherwise the server keeps its state in such a round."""

    weighs_by_messages: ClassVar[bool] = False
    """It can weigh messages by a part of them, weighting {"delta": "w"}: `messages.weights.message_weights` gives the
    weights, and "w" reduces to its sum. Another reduction is refused under an algorithm with such a weighting."""

    weighting: Mapping[str, str]
    round: ServerRound
    state: dict[str, Any]

    # --- before the run ---------------------------------------------------------------------------
    def setup(self, layout: Layout, clients: int) -> None:  # noqa: B027  (most have nothing to set up)
        """Called once, before any other method, to read positions and sizes from the module's layout."""

    def check(self, plan: MessagePlan) -> None:  # noqa: B027  (most go together with everything)
        """Called once, before any work.

        Raises:
            InputError: the reduction cannot go together with something of the run.
        """

    def server_state(self, model: Model) -> dict[str, Any]:
        """What the server keeps for the reduction, before the first round; it is in the checkpoint. `finish` gets it as
        `self.state`, and gives the new one."""
        return {}

    # --- in each round ----------------------------------------------------------------------------
    def encode(self, client: Client, wire: Wire, weighting: Mapping[str, str]) -> Wire:
        """The client half, the last step before sending: the wires (K, ...) of K clients."""
        return wire

    def start(
        self: Self, weighting: Mapping[str, str], round: ServerRound, state: dict[str, Any] | None = None
    ) -> Self:
        """A copy that collects the messages of this round.

        Args:
            state: what the server keeps for the reduction.
        """
        collector = copy.copy(self)
        collector.weighting, collector.round, collector.state = weighting, round, state or {}
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
    def finish(self) -> Reduced:
        """The reduced message; its `message` is empty if none was added. The server then keeps its state."""
