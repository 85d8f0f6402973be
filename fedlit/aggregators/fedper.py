"""FedPer: Arivazhagan et al. 2019 (Federated Learning with Personalization Layers)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.partial import Partial
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client
from fedlit.errors import InputError
from fedlit.model_vectors import Layout, Model


class FedPer(Partial):
    """W_B = sum_j n_j / n W_{B,j}: base layers are averaged as under FedAvg, personalisation layers W_{P_j} stay.

    Client j trains (W_B, W_{P_j}) together, then sends the change of the base layers. There is no global model; the
    clients' personal models are evaluated.
    """

    def __init__(
        self,
        head: str | Sequence[str] | None = None,
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            head: patterns over names (see `Layout.where`) of the personalisation layers; None is the layer that runs
                last.
            weighting: as in FedAvg.
            server_optimizer: as in FedAvg.
        """
        self.head = head
        self.weighting = {"delta": weighting}
        self.server_optimizer = server_optimizer

    def private(self, layout: Layout) -> Model:
        head = layout.last_layer if self.head is None else self.head
        if head is None:
            raise InputError(
                "aggregator.head=null: the layer that runs last could not be found (run.log may say why); write a "
                "pattern over the names of the head's parameters, such as "
                f"aggregator.head={next(reversed(layout.weights)).rpartition('.')[0]}"
            )
        positions = layout.where(head)
        if bool(positions.weights.all()):
            raise InputError(
                f"aggregator.head={head}: the head is the whole model and nothing would travel; name a part of it, or "
                "write aggregator=local"
            )
        if not bool(torch.cat([positions.weights, positions.statistics]).any()):
            raise InputError(f"aggregator.head={head}: it holds no trained parameter; name a layer that is trained")
        return positions

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        return self.message(client.fit(self.personal(client, received, state)).model, received)
