"""The contract of a robust rule: one message from those of a round, some of which may be malicious."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan, model_keys
from fedlit.messages.reductions.base import Reduced, Reduction
from fedlit.messages.reductions.columns import real_rows
from fedlit.messages.reductions.distances import Vectors
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout
from fedlit.plurals import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Messages:
    """The messages of a round in the order of the clients' numbers, so that the order of arrival changes no bit.

    Attributes:
        clients: n numbers.
        wire: key -> (n, ...).
        size: P of a whole model.
    """

    clients: list[int]
    wire: Mapping[str, Tensor]
    size: int = 0

    @property
    def statistics_keys(self) -> list[str]:
        """The keys of the statistics of Models, without those that are empty."""
        return [key for key, value in self.wire.items() if key.endswith(".statistics") and value.shape[-1]]

    @property
    def model_keys(self) -> list[str]:
        """The keys of the vectors that move the model."""
        return model_keys(self.wire, self.size)

    def vectors(self, keys: list[str]) -> Vectors:
        """The values under these keys as tensors (n, P_1), (n, P_2), ..."""
        return [real_rows(self.wire[key]) for key in keys]


class RobustRule(Reduction):
    """Collects all messages of a round and reduces them at its end. It needs their memory.

    A rule reduces all that is sent: weights, statistics and numbers. It never reads the clients' numbers of
    samples, which a client reports itself: all messages count the same, whatever `weighting` says.

    In a round in which fewer messages arrive than the rule needs, or in which it trusts none, nothing is reduced: the
    run warns, and the server keeps its state.
    """

    single: ClassVar[bool] = True
    bound: ClassVar[str] = "1"
    """The number of messages that the rule needs, as a formula."""

    by_identity: ClassVar[bool] = False
    """It needs to know from round to round which client a message is from."""

    _size = 0

    def setup(self, layout: Layout, clients: int) -> None:
        self._size = layout.size

    def least(self, f: int) -> int:
        """The number of messages that the rule needs against f malicious clients."""
        return 1

    @property
    def tolerated(self) -> int:
        """f, the number of malicious clients in a round that the rule is configured for; 0 without such an option."""
        return int(getattr(self, "f", 0))

    def check(self, plan: MessagePlan) -> None:
        """
        Raises:
            InputError: a round has fewer messages on average than the rule needs.
        """
        needed, name = self.least(self.tolerated), type(self).__name__
        if plan.expected >= needed:
            return
        smaller = [f for f in range(self.tolerated) if plan.expected >= self.least(f)]
        remedy = f"write {plan.place}.f={smaller[-1]}, or ask more clients" if smaller else "ask more clients"
        gets = "a round has" if plan.place == "reduction" else "the reduction around it makes"
        setting = f" with f={self.tolerated}" if hasattr(self, "f") else ""
        raise InputError(
            f"reduction: {name}{setting} needs {counted(needed, 'message')} in a round (at least {self.bound}), and "
            f"{gets} {plan.expected:g} of them; {remedy}."
        )

    def begin(self) -> None:
        self._clients: list[int] = []
        self._wires: list[Wire] = []

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        for key, value in wire.items():
            if isinstance(value, list):
                raise InputError(
                    f"{key} of the messages is a list of rows of unequal lengths, which {type(self).__name__} cannot "
                    "compare; let decode of its stage, or unpack, make it a tensor (K, ...)"
                )
        self._clients += clients
        self._wires.append(dict(wire))

    def finish(self) -> Reduced:
        if not self._clients:
            return Reduced({})
        needed = self.least(self.tolerated)
        if len(self._clients) < needed:
            return self.nothing(f"{counted(len(self._clients), 'message')} arrived, and it needs {needed}")
        return self.reduce(self._collected())

    @abstractmethod
    def reduce(self, messages: Messages) -> Reduced:
        """The reduced message of the round; there are as many messages as `least` says, or more."""

    def nothing(self, reason: str, state: dict[str, Any] | None = None) -> Reduced:
        """No message, with a warning."""
        log.warning(
            "round %d: %s reduces nothing, and the server keeps its state: %s",
            self.round.number,
            type(self).__name__,
            reason,
        )
        return Reduced({}, state)

    def _collected(self) -> Messages:
        """The messages by client; those of chunks are released key by key."""
        order = sorted(range(len(self._clients)), key=self._clients.__getitem__)
        wire = {}
        for key in list(self._wires[0]):
            rows = [row for chunk in self._wires for row in chunk.pop(key).unbind(0)]
            wire[key] = torch.stack([rows[i] for i in order])
        self._wires = []
        return Messages([self._clients[i] for i in order], wire, self._size)


def check_option(name: str, value: Any, fits: bool, allowed: str) -> None:
    """
    Raises:
        InputError: the value of an option does not fit.
    """
    if not fits:
        raise InputError(f"reduction: {name}={value!r} is not allowed; write {allowed}.")


def check_count(name: str, value: Any, low: int = 0) -> None:
    """
    Raises:
        InputError: the value is no integer from `low` on.
    """
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= low
    check_option(name, value, fits, f"an integer of at least {low}")
