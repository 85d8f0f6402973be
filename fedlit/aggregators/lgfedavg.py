"""LG-FedAvg: Liang et al. 2020 (Think Locally, Act Globally: Federated Learning with Local and Global Representations),
algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedlit.aggregators.base import Weighting
from fedlit.aggregators.head import head_positions
from fedlit.aggregators.partial import Partial
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.model_vectors import Layout, Model, tree_map


class LgFedAvg(Partial):
    """theta_g = sum_m N_m / N theta_{g,m}: the output layers are averaged, the feature extractors theta_{l,m} stay.

    Device m trains (theta_{l,m}, theta_g) together. Down travel the output layers, up their change; a device keeps its
    extractor. There is no global model; the clients' models (theta_{l,m}, theta_g) are evaluated.

    The paper's experiments begin at models that FedAvg has trained for some rounds; here all begin at the initial
    weights. Its ensemble for new devices and its adversarial training are left out. The authors' code takes the plain
    mean (`weighting=uniform`).
    """

    def __init__(
        self,
        head: str | Sequence[str] | None = None,
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            head: patterns over names (see `Layout.where`) of the output layers, which travel; None is the layer that
                runs last.
            weighting: as in FedAvg.
            server_optimizer: as in FedAvg.
        """
        self.head = head
        self.weighting = {"delta": weighting}
        self.server_optimizer = server_optimizer

    def private(self, layout: Layout) -> Model:
        if_all = "nothing would stay with a client; name a part of it, or write aggregator=fedavg"
        return tree_map(torch.logical_not, head_positions(layout, self.head, if_all))
