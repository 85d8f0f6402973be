"""All data in one place: the baseline that federation is measured against.

One client holds every training shard and trains as under FedAvg; the clients keep their own tests. Each round continues
from the weights of the round before. With `trainer.keep_optimizer_state=true` the optimiser continues too, which makes
it plain training.
"""

from __future__ import annotations

from typing import ClassVar

from fedlit.aggregators.base import Aggregator, Message, State
from fedlit.client import Client


class Centralized(Aggregator):
    """w_{t+1} is w_t after E epochs on the union of all shards."""

    pooled: ClassVar[bool] = True

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        x = received["model"]
        return {"delta": client.fit(x).model - x}, state
