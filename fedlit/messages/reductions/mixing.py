"""Reductions around another one, which gets mixes of the clients' messages."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from fedlit.client import Client
from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions.base import Reduced, Reduction
from fedlit.messages.reductions.columns import mixed
from fedlit.messages.reductions.mean import Mean
from fedlit.messages.reductions.rule import Messages, RobustRule
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout, Model

log = logging.getLogger(__name__)


class Mixing(RobustRule):
    """Gives an inner reduction means of messages in place of messages. All messages count the same in them.

    A mix has the number of one of its clients. A client is excluded if it has a part in no mix that the inner reduction
    uses.
    """

    mixes_are_clients: ClassVar[bool] = False
    """Mix i is the message of client i, changed: the inner reduction may follow a client over the rounds."""

    def __init__(self, inner: Reduction | None = None):
        """
        Args:
            inner: reduces the mixes; None: `Mean`.

        Raises:
            InputError: the inner reduction does not take single messages, or gives all of them.
        """
        self.inner = inner or Mean()
        name, inner_name = type(self).__name__, type(self.inner).__name__
        if self.inner.blind or self.inner.hands_over:
            raise InputError(
                f"reduction: {name} gives means of messages to its inner reduction, and {inner_name} "
                f"{'sees sums only' if self.inner.blind else 'does not reduce'}; write "
                "reduction@reduction.inner=krum, or another robust rule."
            )
        if getattr(self.inner, "by_identity", False) and not self.mixes_are_clients:
            raise InputError(
                f"reduction: {inner_name} follows each client over the rounds, and under {name} it sees means of "
                f"several clients; write reduction=foolsgold alone, or another inner rule."
            )

    @abstractmethod
    def mix(self, messages: Messages) -> tuple[np.ndarray, np.ndarray]:
        """(m, n) how much each message counts in each mix; of the statistics, likewise."""

    def mixes(self, messages: float) -> float:
        """m, the number of mixes that are made of this number of messages."""
        return messages

    # --- the inner reduction's ------------------------------------------------------------------------
    def setup(self, layout: Layout, clients: int) -> None:
        super().setup(layout, clients)
        self.inner.setup(layout, clients)

    def check(self, plan: MessagePlan) -> None:
        """Warn where the inner rule is the plain mean, too."""
        super().check(plan)
        if isinstance(self.inner, Mean):
            log.warning(
                "%s: %s gives means of messages to the plain mean, which withstands no malicious client; write for "
                "example reduction@%s.inner=krum",
                plan.place,
                type(self).__name__,
                plan.place,
            )
        inner, expected = type(self.inner).__name__, self.mixes(plan.expected)
        self.inner.check(replace(plan, expected=expected, reduction=inner, place=f"{plan.place}.inner"))

    def server_state(self, model: Model) -> dict[str, Any]:
        return self.inner.server_state(model)

    def encode(self, client: Client, wire: Wire, weighting: Mapping[str, str]) -> Wire:
        return self.inner.encode(client, wire, weighting)

    def reduce(self, messages: Messages) -> Reduced:
        matrix, of_statistics = self.mix(messages)
        numbers = [min(np.array(messages.clients)[row != 0].tolist()) for row in matrix]
        if self.mixes_are_clients:
            numbers = messages.clients
        wire = {
            key: mixed(value, torch.from_numpy(of_statistics if key.endswith(".statistics") else matrix))
            for key, value in messages.wire.items()
        }
        inner = self.inner.start(self.weighting, self.round, self.state)
        device = next(iter(wire.values())).device
        inner.add(list(numbers), wire, torch.ones(len(numbers), 1, device=device))
        reduced = inner.finish()
        if reduced.excluded is None or not reduced.message:
            return reduced
        used = ~np.isin(numbers, list(reduced.excluded))
        shares = matrix[used].sum(0) + of_statistics[used].sum(0)
        unused = [client for client, share in zip(messages.clients, shares, strict=True) if share == 0]
        return replace(reduced, excluded=unused)
