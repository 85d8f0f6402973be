"""FedPer: Arivazhagan et al. 2019 (Federated Learning with Personalization Layers).

Each client keeps a head of its own; the body is averaged. Body and head train together. There is no global model: what
is evaluated are the clients' personal models.
"""

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
    def __init__(
        self,
        head: str | Sequence[str] | None = None,
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            head: patterns over parameter names (see `Layout.where`): what stays with the client; None is the layer that
                runs last.
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
        here = layout.where(head)
        if bool(here.weights.all()):
            raise InputError(
                f"aggregator.head={head}: the head is the whole model and nothing would travel; name a part of it, or "
                "write aggregator=local"
            )
        if not bool(torch.cat([here.weights, here.statistics]).any()):
            raise InputError(f"aggregator.head={head}: it holds no trained parameter; name a layer that is trained")
        return here

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        return self.message(client.fit(self.personal(client, received, state)).model, received)
