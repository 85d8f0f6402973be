"""The guest: columns and the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.linear.descent import Descent
from fedlit.vertical.linear.holder import COORDINATOR, Holder
from fedlit.vertical.party import Facts, Message, Part, Recv, Send, State, Steps


class Guest(Holder):
    """Its last weight is the intercept, which l2 leaves as it is.

    Args:
        targets: t, (N,).
        measured: from the scores of the test people to measures.
        hosts: their names; without any, this is gradient descent without messages.
    """

    def __init__(
        self,
        descent: Descent,
        cipher: Cipher,
        train: np.ndarray,
        test: np.ndarray,
        targets: np.ndarray,
        measured: Callable[[np.ndarray], Facts],
        hosts: Sequence[str],
    ):
        penalised = np.append(np.ones(train.shape[1]), 0.0)
        super().__init__(descent, cipher, _with_intercept(train), _with_intercept(test), penalised)
        self.targets, self.measured, self.hosts = targets, measured, hosts

    def setup(self, state: State) -> Steps:
        if self.hosts:
            return (yield from super().setup(state))
        return state or self.first_state(), {}

    def round(self, state: State, number: int) -> Steps:
        residuals = self.scores(state) - self.targets  # of this party's columns
        if not self.hosts:
            loss = self.descent.loss(residuals) + self.descent.constant + self.penalty(state)
            return self.moved(state, self.train.T @ residuals), {"loss": loss}
        received = []
        for host in self.hosts:
            received.append((yield Recv(host, "scores")))
        encrypted = self.vectors.sum([message["values"] for message in received], residuals)
        for host in self.hosts:
            yield Send(host, "residuals", {"values": encrypted})
        if len(self.hosts) == 1:
            yield Send(COORDINATOR, "loss", {"value": self._loss(state, residuals, received[0])})
        return (yield from self.step(state, encrypted)), {}

    def _loss(self, state: State, residuals: np.ndarray, of_host: Message) -> Part:
        """[[L]]: with s = a u of the host and e of this party, (s + e)^2 = s^2 + 2 s e + e^2."""
        number = self.descent.loss(residuals) + self.descent.constant + self.penalty(state)
        factors = residuals / (self.descent.curvature * len(residuals))
        return self.vectors.total(of_host["values"], factors, of_host["loss"], number)

    def predict(self, state: State, number: int) -> Steps:
        scores = self.test @ state["weights"].numpy()
        for host in self.hosts:
            message = yield Recv(host, "partial_scores")
            scores = scores + message["values"]
        return state, self.measured(scores)


def _with_intercept(columns: np.ndarray) -> np.ndarray:
    return np.column_stack([columns, np.ones(len(columns))])
