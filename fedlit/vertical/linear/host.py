"""A host: columns without a target."""

from __future__ import annotations

import numpy as np

from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.linear.descent import Descent
from fedlit.vertical.linear.holder import Holder
from fedlit.vertical.party import Recv, Send, State, Steps
from fedlit.vertical.party_data import GUEST


class Host(Holder):
    """Args:
    with_loss: whether it sends its part of the loss.
    """

    def __init__(self, descent: Descent, cipher: Cipher, train: np.ndarray, test: np.ndarray, with_loss: bool):
        super().__init__(descent, cipher, train, test, np.ones(train.shape[1]))
        self.with_loss = with_loss

    def round(self, state: State, number: int) -> Steps:
        scores = self.scores(state)
        body = {"values": self.vectors.encrypt(scores)}
        if self.with_loss:
            body["loss"] = self.vectors.encrypt_total(self.descent.loss(scores) + self.penalty(state))
        yield Send(GUEST, "scores", body)
        residuals = yield Recv(GUEST, "residuals")
        return (yield from self.step(state, residuals["values"])), {}

    def predict(self, state: State, number: int) -> Steps:
        yield Send(GUEST, "partial_scores", {"values": self.test @ state["weights"].numpy()})
        return state, {}
