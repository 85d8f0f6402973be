"""FedNova: Wang et al. 2020 (Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization)."""

from __future__ import annotations

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound


class FedNova(FedAvg):
    """x_{t+1} = x_t - tau_eff sum_i p_i eta d_i, with tau_eff = sum_i p_i |a_i|_1 and p_i = n_i / n.

    d_i = G_i a_i / |a_i|_1 is the normalised gradient of client i: the columns of G_i are the gradients of its steps,
    and eta a_i is how much each of them has moved its model. For SGD with momentum rho and tau_i steps, the vector is
    a_i = (1 - rho^tau_i, ..., 1 - rho^2, 1 - rho) / (1 - rho); without momentum it is (1, ..., 1). Clients with more
    steps do not count more. With equal steps it is FedAvg.

    eta |a_i|_1 is `Fitted.gain`, and d_i is (x_t - y_i) / gain. So eta may change from step to step. Where parameter
    groups have unequal ones, the gain is (K, P), and each parameter is normalised by its own. The gradients are those
    that SGD gets: weight decay counts as a part of the objective. Other optimisers than SGD are refused.

    What travels: the model down; its change and the gain (a number, or a vector under unequal learning rates) up.
    Clients are stateless. The server keeps the model, and the state of its optimiser. n is the number of samples of the
    clients that arrived.
    """

    exact = ("gain",)

    def __init__(self, weighting: Weighting = "examples", server_optimizer: OptimizerFactory | None = None):
        """
        Args:
            weighting: "examples" has the paper's p_i; "uniform" weighs all clients equally.
            server_optimizer: as in FedAvg.
        """
        super().__init__(weighting, server_optimizer)
        self.weighting = {"delta": weighting, "gain": weighting}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        x = received["model"]
        y = client.fit(x)
        return {"delta": y.model - x, "gain": y.gain}, state

    def unpack(self, message: Message, round: ServerRound) -> Message:
        change, gain = message["delta"], message["gain"]
        return {"delta": Model(change.weights / gain, change.statistics), "gain": gain}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        direction, gain = reduced["delta"], reduced["gain"]
        return super().server_update(server, {"delta": Model(gain * direction.weights, direction.statistics)}, round)
