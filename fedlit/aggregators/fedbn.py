"""FedBN: Li et al. 2021 (FedBN: Federated Learning on Non-IID Features via Local Batch Normalization), algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from fedlit.aggregators.base import State, Weighting
from fedlit.aggregators.partial import Partial
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.errors import InputError
from fedlit.model_vectors import Layout, Model
from fedlit.notices import warn
from fedlit.torch_compat import BatchOrInstanceNorm

_KINDS = (BatchOrInstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class FedBN(Partial):
    """w^(l) = sum_k p_k w_k^(l) for each layer l that does not normalise; normalisation layers stay with the clients.

    They are known by their type: batch, instance, layer, group and RMS normalisation of torch, and subclasses; the
    paper has batch normalisation. Running statistics stay, too. Client k trains all layers together. Down travel the
    other layers, up their change. There is no global model; the clients' personal models are evaluated. In a model
    without such a layer it is FedAvg, with a warning, and there is a global model.

    The mean is weighted by examples; the paper's is plain (`weighting=uniform`).
    """

    def __init__(
        self,
        local: str | Sequence[str] = (),
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            local: patterns over names (see `Layout.where`) of further layers that stay, such as normalisation layers of
                a class of your own.
            weighting: as in FedAvg.
            server_optimizer: as in FedAvg.
        """
        self.local = local
        self.weighting = {"delta": weighting}
        self.server_optimizer = server_optimizer

    def private(self, layout: Layout) -> Model:
        positions = layout.where(self.local, _KINDS)
        if bool(positions.weights.all()):
            raise InputError(
                "aggregator=fedbn: every trained layer would stay with its client and nothing would travel; write "
                "aggregator=local."
            )
        return positions

    def setup(self, layout: Layout, clients: int) -> None:
        super().setup(layout, clients)
        self.shares_all = bool(torch.cat([self.shared_at.weights, self.shared_at.statistics]).all())
        if self.shares_all:
            warn(
                "aggregator=fedbn: the model has no normalisation layer of torch, so that all of it is averaged as by "
                "aggregator=fedavg; name layers of your own in aggregator.local."
            )

    def global_model(self, server: State) -> Model | None:
        return server["shared"] if self.shares_all else None
