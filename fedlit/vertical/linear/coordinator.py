"""The coordinator: the private key, and no columns."""

from __future__ import annotations

from collections.abc import Sequence

from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.linear.by_cipher import new_vectors
from fedlit.vertical.party import Facts, Party, Recv, Send, State, Steps
from fedlit.vertical.party_data import GUEST


class Coordinator(Party):
    """Opens masked gradients and the loss.

    Args:
        holders: the parties with columns.
        with_loss: whether the guest sends the loss.
    """

    def __init__(self, cipher: Cipher, holders: Sequence[str], with_loss: bool):
        self.cipher, self.holders, self.with_loss = cipher, holders, with_loss

    def setup(self, state: State) -> Steps:
        self.vectors = new_vectors(self.cipher)
        for holder in self.holders:
            yield Send(holder, "public_key", self.vectors.message())
        return state, {}

    def round(self, state: State, number: int) -> Steps:
        facts: Facts = {}
        if self.with_loss:
            facts["loss"] = self.vectors.open_total((yield Recv(GUEST, "loss"))["value"])
        for holder in self.holders:
            masked = yield Recv(holder, "masked_gradient")
            yield Send(holder, "opened_gradient", {"values": self.vectors.open_masked(masked["values"])})
        return state, facts
