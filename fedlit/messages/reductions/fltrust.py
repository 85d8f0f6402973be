"""FLTrust: Cao et al. 2021 (FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping), algorithm 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions.by_client import RuleByClient, Weights
from fedlit.messages.reductions.distances import inner_products, squared_norms
from fedlit.messages.reductions.rule import Messages
from fedlit.model_vectors import Model


class FlTrust(RuleByClient):
    """The server trains on samples of its own, from the model that the clients received, and its update x_0 judges
    theirs: the trust in client i is TS_i = max(0, cos(x_i, x_0)), and the result

        sum_i TS_i |x_0| / |x_i| x_i / sum_i TS_i.

    The server takes as many local epochs or updates as a client. Numbers are averaged with the TS_i over their sum, and
    not scaled. So are statistics, unless `statistics` is "own": then x are the statistics alone, scaled likewise. Where
    the trust in all clients is 0, the server keeps its state.
    """

    def check(self, plan: MessagePlan) -> None:
        """
        Raises:
            InputError: the server has no samples, or the messages are no changes of whole models.
        """
        super().check(plan)
        if not plan.server_samples:
            raise InputError("reduction: FlTrust trains on the server's own samples; write server_samples=100.")
        check_updates(plan, "FlTrust")

    def begin(self) -> None:
        super().begin()
        self._update: Model | None = None

    def weigh(self, messages: Messages, keys: Sequence[str], state: Mapping[str, Any]) -> Weights:
        vectors = messages.vectors(list(keys))
        update, of_statistics = self._server_update(), keys[0].endswith(".statistics")
        reference = [update.statistics if of_statistics else update.weights]
        norms, products = np.sqrt(squared_norms(vectors)), inner_products(vectors, reference)
        norm = float(np.sqrt(squared_norms([reference[0][None]]))[0])
        trust, scale = np.zeros(len(norms)), np.zeros(len(norms))
        judged = np.isfinite(norms) & (norms > 0) & (0 < norm < np.inf)
        scale[judged] = norm / norms[judged]
        trust[judged] = np.maximum(products[judged] / norms[judged] / norm, 0)
        report = {"selected": int(np.count_nonzero(trust)), "mean_trust": float(trust.mean())}
        factors = trust * scale / max(trust.sum(), 1e-300)
        return Weights(factors, relative=trust, scales_statistics=of_statistics, report=report)

    def _server_update(self) -> Model:
        """x_0 of this round; the server trains once."""
        if self._update is None:
            received, client = broadcast_model(self.round.broadcast, "FlTrust"), self.round.server_client
            if client is None:
                raise InputError("reduction: FlTrust trains on the server's own samples; write server_samples=100.")
            with torch.enable_grad():
                self._update = client.fit(received).model - received
        return self._update


def check_updates(plan: MessagePlan, rule: str) -> None:
    """
    Raises:
        InputError: the messages are not the changes of whole models by the clients' fits and nothing else. (A change
            that the server divides by another number of the message, as FedNova does, has another length.)
    """
    is_change = {*plan.message} <= {"delta.weights", "delta.statistics"} and plan.clients_step
    if not is_change or plan.message["delta.weights"].numel() != plan.layout.size:
        raise InputError(
            f"reduction: {rule} judges the changes of whole models by the clients' fits, and a message of "
            f"{plan.algorithm} ({', '.join(plan.message)}) is no such change; choose aggregator=fedavg, or another "
            "reduction."
        )


def broadcast_model(broadcast: Mapping[str, Any], rule: str) -> Model:
    """The model from which clients begin.

    Raises:
        InputError: the algorithm broadcasts none.
    """
    model = broadcast.get("model")
    if not isinstance(model, Model):
        raise InputError(
            f"reduction: {rule} needs the model that clients receive, and this algorithm broadcasts "
            f"{', '.join(broadcast) or 'nothing'}; choose aggregator=fedavg, or another reduction."
        )
    return model
