"""FedSGD: McMahan et al. 2017, the baseline of section 2."""

from __future__ import annotations

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.full_gradient import FullGradient
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client
from fedlit.model_vectors import Layout


class FedSGD(FedAvg):
    """w_{t+1} = w_t - eta sum_k n_k / n g_k, with g_k the gradient of client k's loss at w_t on all its samples.

    A client computes g_k batch by batch, as sum_b n_b / n_k of the gradients on its batches b, in training mode: with
    dropout and augmentation. Its weights stay at w_t, and running statistics move as in an epoch. Batch normalisation
    takes the statistics of each batch, so g_k depends on the size of the batches with it, and without it does not.
    The server's optimiser takes the step, with the momentum and the weight decay of the option `optimizer=`. What the
    clients' optimiser would do is refused: a module's own configure_optimizers, `lr_schedule`, clipping.

    What travels: the model down; -g_k, and the change of the statistics, up. Clients are stateless, the server keeps
    the model and the state of its optimiser.
    """

    clients_step = False

    def __init__(self, server_optimizer: OptimizerFactory | None, weighting: Weighting = "examples"):
        """
        Args:
            server_optimizer: makes the optimiser that steps along the mean gradient; None: SGD with learning rate 1.
            weighting: as in FedAvg.
        """
        super().__init__(weighting, server_optimizer)

    def setup(self, layout: Layout, clients: int) -> None:
        self.full_gradient = FullGradient(layout)

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        return {"delta": self.full_gradient(client, received["model"])}, state
