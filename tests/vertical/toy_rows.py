"""Rows and states of a run of the toy protocol."""

from __future__ import annotations

import json

import torch

from fedlit.tracking import About, Loggers, MetricsFile
from fedlit.vertical.rounds import cooperate, new_state
from fedlit.vertical.state import from_bytes
from tests.vertical.toy import started

TWO = ("left", "right")


def rows_of(folder, engine, rounds=3, protocol=None, cipher=None, hosts=TWO, resumed=None, checkpoints=None):
    """The rows and the last state of a run, whose files lie in the folder."""
    folder.mkdir(exist_ok=True)
    with engine:
        started(engine, protocol, cipher, hosts)
        state = resumed or new_state(engine.plan)
        loggers = Loggers([MetricsFile()])
        loggers.start(About(folder, "toy", {}, rounds, state.round))
        cooperate(engine, state, rounds, loggers, checkpoints, folder=folder)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows], state


def plain(value):
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value.numpy().tobytes() if torch.is_tensor(value) else value


def states(state):
    return {name: plain(from_bytes(saved)) for name, saved in state.parties.items()}
