"""Matrices as products of two thin factors, found in two trips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fedlit.device_copies import to_device_of
from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.stages.keyed_stage import KeyedStage
from fedlit.messages.stages.matrices import Matrices, as_vectors, orthonormal
from fedlit.messages.stages.option_checks import check_number
from fedlit.messages.stages.scales import wide
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout, Model
from fedlit.randomness import generator
from fedlit.server_round import ServerRound


class PowerSgd(KeyedStage):
    """One step of subspace iteration finds a product of rank r near the mean of the clients' matrices M_k (Vogels et
    al. 2019, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization", algorithms 1 and 2).
    With the received Q (m, r) of each matrix (n, m), and weighted means over the clients:

        trip 1   client k sends P_k = M_k Q            server: P = orthonormal(mean P_k), and sends it
        trip 2   client k sends Q_k = M_k^T P          server: Q = mean Q_k; the mean message is P Q^T

    The server needs means alone, and of the reductions only `Mean` goes together with it. The next round begins with
    the orthonormalised Q (warm start) or with random numbers. Q of the first round is the same in each run.

    M_k is the client's update and, with error feedback, what earlier messages have lost of its updates, e_k:
    e_k <- M_k - P Q_k^T. The paper's e_k has the mean Q in place of Q_k, which only clients of a next trip would know;
    the mean of e_k over the clients of a round is the same, and so is the mean message if all take part.

    A client that is lost between the trips stays part of the means of trip 1, with its weight: of mean P_k, which gives
    the basis P alone, and of all that is no matrix (`key.raw`, statistics, numbers). It is no part of mean Q_k, so none
    of its matrices counts, and it keeps the e_k from before the round. So its biases move the model although it counts
    as lost.

    A tensor of shape (d_1, ..., d_n), n >= 2, is a matrix (d_1, d_2 ... d_n). Tensors with fewer axes travel as they
    are, and so do matrices that are no larger than their factors, n m <= r (n + m); the paper factors these, too.

    Up: `key.p` (sum of r n) and `key.raw`, then `key.q` (sum of r m), of the message's type, or of 32 bits where that
    is shorter; so is the mean message. Down: Q, then P.

    Args:
        rank: r.
        feedback: error feedback.
        warm_start: Q of the last round is the next one's first.
        keys: see `KeyedStage`.
    """

    trips: ClassVar[int] = 2

    def __init__(
        self, rank: int = 2, feedback: bool = True, warm_start: bool = True, keys: Sequence[str] | None = None
    ):
        check_number(self, "rank", rank, 1, whole_number=True)
        super().__init__(keys)
        self.rank, self.feedback, self.warm_start = rank, feedback, warm_start

    # --- before the run ---------------------------------------------------------------------------
    def setup(self, layout: Layout, clients: int) -> None:
        super().setup(layout, clients)
        self.matrices = Matrices(layout, self.rank)
        if not self.matrices.factored:
            raise InputError(
                f"PowerSgd: rank={self.rank} makes no matrix of the model smaller; write a smaller rank, or leave the "
                "stage out."
            )

    def check(self, plan: MessagePlan) -> None:
        super().check(plan)
        for key in self.planned_keys(plan):
            if plan.message[key].numel() != self.matrices.size:
                raise InputError(
                    f"PowerSgd needs vectors of the whole model, of length {self.matrices.size}, and {plan.algorithm} "
                    f"sends {plan.message[key].numel()} under {key}; name other keys by its option keys, or choose "
                    "another stage."
                )

    def server_state(self, model: Model) -> dict[str, Any]:
        return {"q": self._random_basis(generator("PowerSgd", "first Q"), wide(model.weights))}

    def broadcast(self, server: dict[str, Any]) -> Wire:
        return dict(server)

    # --- trip 1 -----------------------------------------------------------------------------------
    def state(self, client: StageClient, wire: Wire) -> dict[str, Any]:
        if not self.feedback:
            return {}
        return {_lost(key): torch.zeros_like(wide(wire[key])) for key in self.chosen_keys(client.stage, wire)}

    def encode(self, client: StageClient, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        wire, kept = dict(wire), dict(state)
        for key in self.chosen_keys(client.stage, wire):
            vectors = wide(wire.pop(key))
            if self.feedback:
                vectors = vectors + state[_lost(key)]
            matrices, raw = self.matrices.cut(vectors)
            basis = self.matrices.right(self._received_basis(client, key).to(vectors.dtype))
            wire[f"{key}.p"] = as_vectors([m @ q for m, q in zip(matrices, basis, strict=True)])
            wire[f"{key}.raw"] = raw
            kept[_lost(key)] = vectors  # until the second trip: all of it
        return wire, kept

    @staticmethod
    def _received_basis(client: StageClient, key: str) -> Tensor:
        for name in (_basis(key), "q"):
            if name in client.received:
                return client.received[name]
        raise InputError(
            f"uplink.{client.stage}: {key} was no part of the messages of earlier rounds, so that its Q is not known; "
            f"send it in each round, or leave it out by uplink.{client.stage}.keys."
        )

    # --- trip 2 -----------------------------------------------------------------------------------
    def ask(self, means: list[Wire], server: dict[str, Any]) -> Wire:
        return {f"{key}.p": as_vectors(self._left_basis(means[0], key)) for key in _keys(means[0])}

    def answer(self, client: StageClient, received: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        sent: Wire = {}
        state = dict(state)
        for key in _keys(received):
            vectors = state.pop(_lost(key))
            matrices, raw = self.matrices.cut(vectors)
            left = self.matrices.left(received[f"{key}.p"].to(vectors.dtype))
            right = [m.mT @ p for m, p in zip(matrices, left, strict=True)]
            sent[f"{key}.q"] = as_vectors(right)
            if self.feedback:
                products = [p @ q.mT for p, q in zip(left, right, strict=True)]
                state[_lost(key)] = vectors - self.matrices.joined(products, raw)
        return sent, state

    # --- the end of the round ---------------------------------------------------------------------
    def means(self, means: list[Wire], server: dict[str, Any]) -> Wire:
        reduced = dict(means[0])
        for key in _keys(means[0]):
            left, right = self._left_basis(means[0], key), self.matrices.right(means[1][f"{key}.q"])
            products = [p @ q.mT for p, q in zip(left, right, strict=True)]
            reduced[key] = self.matrices.joined(products, reduced.pop(f"{key}.raw"))
            del reduced[f"{key}.p"]
            reduced[_basis(key)] = means[1][f"{key}.q"]  # `reduced` takes it out
        return reduced

    def reduced(
        self, reduced: Wire, server: dict[str, Any], round: ServerRound
    ) -> tuple[Wire, dict[str, Any], dict[str, float]]:
        bases = {key: value for key, value in reduced.items() if key.startswith(_basis(""))}
        rest = {key: value for key, value in reduced.items() if key not in bases}
        if self.warm_start:
            new = {key: as_vectors(orthonormal(self.matrices.right(q))) for key, q in bases.items()}
            return rest, {key: q for key, q in server.items() if key != "q"} | new, {}
        return rest, {"q": self._random_basis(round.generator("uplink.powersgd"), next(iter(server.values())))}, {}

    def _left_basis(self, mean: Wire, key: str) -> list[Tensor]:
        return orthonormal(self.matrices.left(mean[f"{key}.p"]))

    def _random_basis(self, rng: np.random.Generator, like: Tensor) -> Tensor:
        """(sum of r m,): the orthonormalised normal numbers of the type of `like`."""
        count = sum(piece.columns * piece.rank for piece in self.matrices.factored)
        numbers = to_device_of(like, rng.standard_normal(count)).to(like.dtype)
        return as_vectors(orthonormal(self.matrices.right(numbers)))


def _keys(wire: Wire) -> list[str]:
    return [name.removesuffix(".p") for name in wire if name.endswith(".p")]


def _lost(key: str) -> str:
    return f"residual.{key}"


def _basis(key: str) -> str:
    return f"q.{key}"
