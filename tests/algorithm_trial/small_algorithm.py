"""FedAvg, as small as an algorithm can be; those of these tests are its subclasses."""

from __future__ import annotations

from fedlit.aggregators import Aggregator


def fedavg(client, received, **options):
    x = received["model"]
    return {"delta": client.fit(x, **options).model - x}


class Up(Aggregator):
    def local_update(self, client, received, state):
        return fedavg(client, received), state
