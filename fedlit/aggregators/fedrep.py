"""FedRep: Collins et al. 2021 (Exploiting Shared Representations for Personalized Federated Learning), algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.fedper import FedPer
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client


class FedRep(FedPer):
    """Client i first trains its head h_i with the representation fixed, then the representation phi with h_i fixed:

    h_i = GRD(f_i(h_i, phi), h_i, alpha), tau_h times; then phi_i = GRD(f_i(h_i, phi), phi, alpha); phi is the mean of
    the phi_i. Here GRD is an epoch of the client's optimiser: `head_epochs` epochs for the head, `local_epochs` (or the
    steps of `local_updates`) for the representation. The paper's algorithm has one step, its experiments one or more
    epochs.

    Down travels phi, up its change; a client keeps h_i. There is no global model; (h_i, phi) is evaluated. Each of the
    two fits has a new optimiser. Momentum, weight decay and running statistics concern the part that is trained.
    The mean is weighted by examples; the paper's is plain (`weighting=uniform`). All clients begin with the same head.
    """

    def __init__(
        self,
        head: str | Sequence[str] | None = None,
        head_epochs: int = 10,
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            head: patterns over names (see `Layout.where`) of the head; None is the layer that runs last.
            head_epochs: epochs of the head before those of the representation, 1 or more.
            weighting: as in FedAvg.
            server_optimizer: as in FedAvg.
        """
        super().__init__(head, weighting, server_optimizer)
        self.head_epochs = head_epochs

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        start = self.personal(client, received, state)
        with_head = client.fit(start, epochs=self.head_epochs, trainable=self.private_at).model
        return self.message(client.fit(with_head, trainable=self.shared_at).model, received)
