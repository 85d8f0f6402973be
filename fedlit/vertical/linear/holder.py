"""What the guest and the hosts of encrypted gradient descent have in common."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch

from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.linear.by_cipher import public_vectors
from fedlit.vertical.linear.descent import Descent
from fedlit.vertical.linear.vectors import Vectors, check_range
from fedlit.vertical.party import Part, Party, Recv, Send, State, Steps

COORDINATOR = "coordinator"
LARGEST = 2.0**40  # of a score


class Holder(Party):
    """A party with columns.

    Args:
        train, test: (N, D) and (M, D) float64.
        penalised: (D,), 0 for a weight that l2 leaves as it is.
    """

    vectors: Vectors

    def __init__(self, descent: Descent, cipher: Cipher, train: np.ndarray, test: np.ndarray, penalised: np.ndarray):
        self.descent, self.cipher, self.train, self.test, self.penalised = descent, cipher, train, test, penalised

    def setup(self, state: State) -> Steps:
        self.vectors = public_vectors(self.cipher, (yield Recv(COORDINATOR, "public_key")))
        return state or self.first_state(), {}

    def first_state(self) -> State:
        return {"weights": torch.zeros(self.train.shape[1], dtype=torch.float64)}

    def scores(self, state: State) -> np.ndarray:
        """a u_ip of the training people, (N,)."""
        scores = self.descent.curvature * (self.train @ state["weights"].numpy())
        check_range(scores, LARGEST)
        return scores

    def penalty(self, state: State) -> float:
        return self.descent.penalty(state["weights"].numpy() * self.penalised)

    def step(self, state: State, residuals: Part) -> Generator[Send | Recv, Any, State]:
        """The state after a step along the gradient, which only this party can read.

        Args:
            residuals: [[d]], (N,).
        """
        masked, mask = self.vectors.masked_products(residuals, self.train)
        yield Send(COORDINATOR, "masked_gradient", {"values": masked})
        opened = yield Recv(COORDINATOR, "opened_gradient")
        return self.moved(state, self.vectors.unmasked(opened["values"], mask))

    def moved(self, state: State, sums: np.ndarray) -> State:
        """
        Args:
            sums: sum_i d_i x_ip, (D,).
        """
        weights = state["weights"].numpy()
        gradient = sums / len(self.train) + self.descent.l2 * self.penalised * weights
        return {"weights": torch.from_numpy(weights - self.descent.lr * gradient)}
