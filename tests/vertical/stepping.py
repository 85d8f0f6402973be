"""Parties stepped by the serial engine, as a run steps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from fedlit.vertical import wire
from fedlit.vertical.alignment import Alignment, Same
from fedlit.vertical.ciphers import Cipher
from fedlit.vertical.engine import PhaseEnd, Plan
from fedlit.vertical.mail import Letter
from fedlit.vertical.party import Party, Sealed
from fedlit.vertical.party_data import GUEST, PartyData
from fedlit.vertical.protocol import Protocol, Task
from fedlit.vertical.serial import Serial
from fedlit.vertical.state import EMPTY, from_bytes


@dataclass
class Stepped:
    """A protocol that has been set up.

    Attributes:
        letters: all that has travelled.
    """

    protocol: Protocol
    cipher: Cipher
    data: Mapping[str, PartyData]
    task: Task = "regression"
    alignment: Alignment = field(default_factory=Same)
    letters: list[Letter] = field(default_factory=list)

    def __post_init__(self) -> None:
        hosts = tuple(name for name in self.data if name != GUEST)
        self.plan = Plan(self.protocol, self.cipher, self.alignment, hosts, self.task)
        self.engine = Serial()
        self.engine.taps.append(self.letters.append)
        self.engine.start(self.plan, self.data, self.plan.ledger())
        self.states: Mapping[str, bytes] = dict.fromkeys(self.plan.parties, EMPTY)
        self.number = 0
        self.engine.phase("align", 0, self.states)
        self.states = self.engine.phase("setup", 0, self.states).states

    def party(self, name: str) -> Any:
        return cast(Party, self.engine._parties[name].party)

    def round(self) -> PhaseEnd:
        """The next round."""
        self.number += 1
        end = self.engine.phase("round", self.number, self.states)
        self.states = end.states
        return end

    def rounds(self, count: int) -> PhaseEnd:
        for _ in range(count):
            end = self.round()
        return end

    def predict(self) -> Mapping[str, float]:
        """The measures of the guest."""
        return self.engine.phase("predict", self.number, self.states).facts[GUEST]

    def state(self, name: str) -> dict[str, Any]:
        return from_bytes(self.states[name])


def parts(letters: list[Letter]) -> list[tuple[str, np.ndarray | Sealed]]:
    """ "message.part" and the part, of all letters."""
    return [(f"{letter.name}.{name}", part) for letter in letters for name, part in wire.unpack(letter.content).items()]


def columns_of(
    name: str,
    columns: np.ndarray,
    ids: np.ndarray | None = None,
    target: np.ndarray | None = None,
    test_rows: np.ndarray | None = None,
) -> PartyData:
    """The test people are the training people, or those of them at `test_rows`."""
    names = np.arange(len(columns)).astype(str) if ids is None else ids
    test = np.arange(len(columns)) if test_rows is None else test_rows
    return PartyData(
        name,
        tuple(f"{name} {i}" for i in range(columns.shape[1])),
        columns,
        columns[test],
        names,
        names[test],
        target,
        None if target is None else target[test],
    )
