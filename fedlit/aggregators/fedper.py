"""FedPer: Arivazhagan et al. 2019 (Federated Learning with Personalization Layers), algorithms 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence

from fedlit.aggregators.base import Weighting
from fedlit.aggregators.head import head_positions
from fedlit.aggregators.partial import Partial
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.model_vectors import Layout, Model


class FedPer(Partial):
    """W_B = sum_j n_j / n W_{B,j}: base layers are averaged as under FedAvg, personalisation layers W_{P_j} stay.

    Client j trains (W_B, W_{P_j}) together. Down travel the base layers, up their change; a client keeps its
    personalisation layers. There is no global model; the clients' personal models (W_B, W_{P_j}) are evaluated.

    Two differences from the paper: all clients begin with the same W_{P_j}, where the paper's are random; and a client
    that is not asked keeps its layers, where all clients of the paper take part in each round.
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
        if_all = "nothing would travel; name a part of it, or write aggregator=local"
        return head_positions(layout, self.head, if_all)
