"""All data in one place: the baseline that federation is measured against.

One client holds every training shard and trains as under FedAvg; the clients' own tests remain. Each round goes on from
the last one's weights; `trainer.keep_optimizer_state=true` continues its optimiser too, which makes it plain training.
"""

from __future__ import annotations

from typing import ClassVar

from fedlit.aggregators.base import Aggregator, Message, State
from fedlit.client import Client


class Centralized(Aggregator):
    pooled: ClassVar[bool] = True

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        x = received["model"]
        return {"delta": client.fit(x).model - x}, state
