"""Protocols that break the contract, and the sentence about each."""

from __future__ import annotations

import numpy as np

from fedlit.vertical.engine import ALIGN
from fedlit.vertical.party import Party, Recv, Send
from fedlit.vertical.rounds import new_state
from tests.vertical.toy import Means, started


class Silent(Party):
    def round(self, state, number):
        return state, {}
        yield


class Waiting(Party):
    def __init__(self, steps):
        self.steps = steps

    def round(self, state, number):
        yield from self.steps
        return state, {}


class Wrong(Means):
    """The guest has the given steps, the host none."""

    def party(self, name, data, hosts, cipher, task):
        return Waiting(STEPS[self.stop_at]) if name == "guest" else Silent()


NUMBER = {"value": np.zeros(1)}
STEPS = {
    1: [Recv("host", "histograms")],
    2: [Send("host", "thanks", {"sum": np.zeros(1)})],
    3: [Send("ghost", "thanks", {"sum": np.zeros(1)})],
    4: [Recv("ghost", "histograms")],
    5: [Send("host", "means", NUMBER)],
    6: ["a text"],
    7: [Send("host", "thanks", {"sum": np.array([None])})],
    8: [Send("host", "hello", {})],
}
SENTENCES = {
    1: "guest waits for histograms from host, and nobody sends them.",
    2: "guest has sent thanks to host, and host does not read it.",
    3: "guest sends thanks to ghost, and the other parties are host.",
    4: "guest waits for histograms from ghost, and the other parties are host.",
    5: "guest sends means.value to host in the clear, and the protocol's `clear` does not declare it; seal it",
    6: "guest, phase round of round 1: a party yields Send or Recv, and this is a str.",
    7: "part sum of a message is an array of object; send an array of numbers",
    8: "guest sends hello to host in the clear",
}


def broken_round(engine, number):
    started(engine, Wrong(number))
    engine.phase("round", 1, engine.phase(ALIGN, 0, new_state(engine.plan).parties).states)
