"""`protocol.baselines=true`: what each party could do alone, and what all columns in one place give.

The simulator computes them, because it holds all columns: the same protocol without hosts and without a cipher, on the
people that all parties know, so that the models differ in their columns alone. A host alone gets the target, which it
does not have in the federation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fedlit.metric_names import Row, is_global
from fedlit.tracking import Loggers
from fedlit.tracking.logger import Logger
from fedlit.tracking.metrics_file import plain
from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.engine import Plan
from fedlit.vertical.party_data import GUEST, PartyData
from fedlit.vertical.rounds import cooperate, new_state
from fedlit.vertical.serial import Serial
from fedlit.vertical.sharing import in_common

POOLED = "pooled"


def baselines(plan: Plan, data: Mapping[str, PartyData], rounds: int, plain_cipher: Cipher) -> dict[str, Row]:
    """`guest alone`, `<host> alone` and `pooled` -> the measures of the last round.

    Args:
        plan: of the federation.
        data: of each party.
        rounds: the number of the last round; a protocol may stop before.
        plain_cipher: the one of `cipher=plain`.
    """
    alone = replace(plan, cipher=plain_cipher, hosts=())
    return {name: _measured(alone, part, rounds) for name, part in _parts(_aligned(plan, data))}


def compared(federated: Row, measured: Mapping[str, Row]) -> dict[str, float | None]:
    """How far the columns of several parties help, by the headline.

    Args:
        federated: the last row of the run.
        measured: of `baselines`.

    Returns:
        "gain": federated minus the best party alone; "lost": pooled minus federated; "spread": the best party alone
        minus the worst one, which is 0 where the parties' columns are equally good. None where it was not measured.
    """
    name = next((name for name in federated if is_global(name)), "")
    alone = [row[name] for key, row in measured.items() if key != POOLED and name in row]
    if not alone or name not in federated:
        return {"gain": None, "lost": None, "spread": None}
    pooled = measured[POOLED].get(name, np.nan)
    gaps = {"gain": federated[name] - max(alone), "lost": pooled - federated[name], "spread": max(alone) - min(alone)}
    return {key: plain(value) for key, value in gaps.items()}


def _aligned(plan: Plan, data: Mapping[str, PartyData]) -> dict[str, PartyData]:
    """The people in common, in the order of the federation: other orders give other last bits."""
    order = plan.alignment.order
    return {name: part.rows(order(part.train_ids), order(part.test_ids)) for name, part in in_common(data).items()}


def _parts(data: Mapping[str, PartyData]) -> Iterator[tuple[str, PartyData]]:
    """Name of the baseline, and what its guest holds."""
    guest = data[GUEST]
    for name, part in data.items():
        if part.columns:
            targets = guest.train_target, guest.test_target
            yield f"{name} alone", replace(part, party=GUEST, train_target=targets[0], test_target=targets[1])
    columns = tuple(column for part in data.values() for column in part.columns)
    train, test = (np.concatenate([getattr(part, s) for part in data.values()], 1) for s in ("train", "test"))
    yield POOLED, replace(guest, columns=columns, train=train, test=test)


def _measured(plan: Plan, part: PartyData, rounds: int) -> Row:
    with Serial() as engine:
        engine.start(plan, {GUEST: part}, plan.ledger())
        last = _LastRow()
        cooperate(engine, new_state(engine.plan), rounds, Loggers([last]))
    return {name: value for name, value in last.row.items() if is_global(name)}


class _LastRow(Logger):
    """Keeps the row of the last round."""

    def __init__(self) -> None:
        self.row: Row = {}

    def round(self, number: int, row: Row, pictures: Mapping[str, Any]) -> None:
        self.row = row
