"""How well clustered methods find planted clusters: client i belongs to cluster i % 4 (`partition.angles`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fedlit.aggregators import IFCA
from fedlit.aggregators.base import Message, State
from fedlit.client import Client
from fedlit.model_vectors import Model
from fedlit.run_folder import checkpoint_folders

PLANTED = 4


class RecordedIFCA(IFCA):
    """IFCA whose clients keep the number of the model that they chose last, for `right_pairs`. It trains as IFCA."""

    def client_state(self, model: Model) -> State:
        return {"j": model.weights.new_zeros(1)}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        message, _ = super().local_update(client, received, state)
        return message, {"j": message["j"].to(state["j"])}


def right_pairs(run: Path) -> float:
    """The share of client pairs that are rightly together or rightly apart, at the newest checkpoint of a run."""
    (_, newest), *_ = checkpoint_folders(run / "checkpoints")
    state = torch.load(newest / "state.pt", weights_only=True)
    if "cluster" in state["server"]:  # CFL
        clusters = state["server"]["cluster"].numpy()
    else:
        clusters = np.array([int(state["clients"][client]["algorithm"]["j"]) for client in sorted(state["clients"])])
    return pair_agreement(clusters, np.arange(len(clusters)) % PLANTED)


def pair_agreement(first: np.ndarray, second: np.ndarray) -> float:
    """The share of pairs that two groupings (N,) treat equally: together in both or apart in both (Rand index).

    >>> pair_agreement(np.array([0, 0, 1, 1]), np.array([5, 5, 5, 7]))
    0.5
    """
    rows, columns = np.triu_indices(len(first), k=1)
    return float(((first[rows] == first[columns]) == (second[rows] == second[columns])).mean())
