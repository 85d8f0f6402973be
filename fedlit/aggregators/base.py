"""The contract of an algorithm. It is written once, over vectors, and runs on every trainer and engine."""

# ruff: noqa: B027  (empty methods that are not abstract: an algorithm overrides only those it needs)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from fedlit.aggregators.server_step import OptimizerFactory, server_step
from fedlit.client import Client
from fedlit.model_vectors import Layout, Model
from fedlit.server_round import ServerRound

State = dict[str, Any]  # of tensors, Models, and dicts of these
Message = dict[str, Any]  # of tensors (K, ...) and Models
Weighting = Literal["examples", "uniform"]


class Aggregator(ABC):
    """One federated algorithm: methods take a state and return the new one. `self` holds hyperparameters and positions.

    Tensors of clients have the leading axis K, one row a client: weights (K, P), statistics (K, S), numbers (K, 1).
    Tensors of the server have no such axis, (P,) and (S,), and broadcast (see `fedlit.client`).

    Example: SCAFFOLD (Karimireddy et al. 2020, algorithm 1, option II, server step size 1). A client steps along
    g_i(y_i) - c_i + c. After its last step, c_i+ = c_i - c + (x - y_i) / gain, where the gain is what its steps applied
    of a constant gradient of 1: without momentum, the sum of their learning rates. The server adds to x the mean of
    y_i - x, and to c the mean of c_i+ - c_i times |S| / N.

    >>> class Scaffold(Aggregator):  # in mine.py, chosen by aggregator._target_=mine.Scaffold
    ...     weighting = {"c": "uniform"}
    ...
    ...     def server_state(self, model, rng):
    ...         return {"model": model, "c": torch.zeros_like(model.weights)}
    ...
    ...     def client_state(self, model):
    ...         return {"c": torch.zeros_like(model.weights)}
    ...
    ...     def broadcast(self, server):
    ...         return {"model": server["model"], "c": server["c"]}
    ...
    ...     def local_update(self, client, received, state):
    ...         x, c, c_i = received["model"], received["c"], state["c"]
    ...         y = client.fit(x, adjust_gradient=lambda g, w, c, c_i: g - c_i + c, extras=(c, c_i))
    ...         c_new = c_i - c + (x.weights - y.model.weights) / y.gain
    ...         return {"delta": y.model - x, "c": c_new - c_i}, {"c": c_new}
    ...
    ...     def server_update(self, server, reduced, round):
    ...         return {"model": server["model"] + reduced["delta"], "c": server["c"] + round.share * reduced["c"]}
    >>> x = Model(torch.zeros(2), torch.zeros(0))
    >>> reduced = {"delta": Model(torch.ones(2), torch.zeros(0)), "c": torch.ones(2)}
    >>> round = ServerRound(number=1, seed=0, cohort=[3], clients=4, arrived=[3])
    >>> scaffold = Scaffold()
    >>> scaffold.server_update(scaffold.server_state(x, torch.Generator()), reduced, round)["c"]
    tensor([0.2500, 0.2500])
    """

    weighting: Mapping[str, str] = MappingProxyType({})
    """How the messages under a key are averaged: "examples" (the default), "uniform", or by a weight that each message
    carries, named by its key. A stage that needs it (`Stage.uniform`) makes all keys uniform.

    A subclass of `FedAvg`, whose __init__ sets it for "delta", sets it after super().__init__(); as an attribute of the
    class it would have no effect, and is refused.

    Under {"delta": "w"} the key "delta" reduces to sum_k w_k m_k / sum_k w_k, and to 0 where that sum of weights is 0,
    so that the old value stays; "w" reduces to sum_k w_k. w_k is used as it is, not times n_k. It is not negative, and
    has one number a client, (K, 1), or broadcasts to the value: (K, C, 1) for C models (K, C, P) in a message. A key
    stands for all that a Model or dict under it holds, and "parts.w" for one entry of a dict. If "w" is a Model, its
    weights weigh those of "delta", and its statistics the statistics."""

    needs_all: ClassVar[bool] = False
    """`server_update` gets every message, (K, ...), and the clients' numbers of examples instead of means. `round.rows`
    has the numbers of these clients, and `round.put` writes to what the server keeps of every client."""

    pooled: ClassVar[bool] = False
    """One client trains on all training shards together. This is a matter of data: the round loop does not know it."""

    exact: ClassVar[tuple[str, ...]] = ()
    """Keys of the message that travel as they are, though they may have as many numbers as the model: the server
    divides by them, so no stage compresses or clips them unless its option `keys` names them."""

    needs_server: ClassVar[bool] = False
    """`server_update` trains or measures on samples of the server (`round.server_client`): a run without
    `server_samples` is refused before any work."""

    needs_public: ClassVar[bool] = False
    """Clients or the server use public samples (`client.collect(..., on="public")`): a run without `data.public` is
    refused before any work."""

    clients_step: bool = True
    """The clients' optimiser takes steps. Where it takes none, a module's own configure_optimizers, `lr_schedule` and
    clipping are refused before any work, because they would have no effect, unless it fine-tunes
    (`evaluation.finetune`)."""

    needs_validation: bool = False
    """A client's loss is measured on its validation samples: a run in which a client has none is refused before any
    work."""

    server_optimizer: OptimizerFactory | None = None
    """The optimiser of the default `server_update`; None adds the mean update: SGD with learning rate 1."""

    def __str__(self) -> str:
        return type(self).__name__

    def setup(self, layout: Layout, clients: int) -> None:
        """Called once, before any other method, to read positions and sizes from the module's layout."""

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        """The server's state before the first round; `model` (P,), (S,) has the initial weights."""
        return {"model": model}

    def client_state(self, model: Model) -> State:
        """A client's state before its first round, without the leading axis; `{}` is stateless."""
        return {}

    def broadcast(self, server: State) -> State:
        """What every client of the round receives, (P,) and so on. Leave out what clients may not know."""
        return {"model": server["model"]}

    def download(self, server: State, clients: Tensor, round: ServerRound) -> State:
        """What each of these clients receives in addition, (K, ...), in their order.

        Under a key that `broadcast` has, too, a client receives the value of this method; both values travel.

        Args:
            clients: (K,) int64 on the device, such as `server["models"][clients]` needs.
            round: its `purpose` is "train"; "evaluate" and "probe" for the models that clients use after and before
                a round.
        """
        return {}

    @abstractmethod
    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        """The paper's client side, in the paper's order.

        Args:
            client: K clients.
            received: the broadcast (P,) and the downloads (K, P).
            state: the clients' states (K, ...).

        Returns:
            The messages and the new states, both (K, ...). The rows of clients that made no step in one of their fits,
            such as 0/0, are not used.
        """

    def unpack(self, message: Message, round: ServerRound) -> Message:
        """On the server: the messages (K, ...) in the form in which they are reduced. `round.rows` are their clients.

        Under a reduction that sees sums only (`Reduction.blind`) the clients call it, with the part of the round that
        they know (`fedlit.round.Round`).
        """
        return message

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        """The new server state. The default steps `server["model"]` along the mean `delta` by the server optimiser,
        whose learning rate is multiplied by `round.server_lr_factor`.

        In a round that asks no client (`sampler=poisson`), `reduced` holds zeros, sum_k m_k over the expected number of
        clients, in the keys and shapes of a message, and `round.arrived` is empty: noise is added, and a momentum goes
        on. That is so where the message has a `delta` and the reduction is the mean.

        It is not called where clients were asked and no message arrived, or nothing was sent. The server then keeps its
        state.

        Raises:
            InputError: (by the caller) the new state is not finite.
        """
        model, optimizer = server_step(
            self.server_optimizer,
            server["model"],
            reduced["delta"],
            server.get("optimizer"),
            round.server_lr_factor,
        )
        return {**server, "model": model} | ({"optimizer": optimizer} if optimizer else {})

    def personal(self, client: Client, received: State, state: State) -> Model:
        """The models (K, P), (K, S) that clients would use on their own data, or (P,), (S,) where all use the same.

        The method may train (`client.fit`) or choose (`client.loss`).
        """
        return received["model"]

    def global_model(self, server: State) -> Model | None:
        """The model (P,), (S,) to evaluate and export; None if the algorithm has no global model."""
        return server.get("model")
