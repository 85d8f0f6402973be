"""The loop over rounds of parties with columns, as `experiment_rounds` runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from fedlit.early_stopping import EarlyStopping
from fedlit.errors import InputError
from fedlit.metric_names import COMM_BYTES
from fedlit.tracking import Logger
from fedlit.vertical.contract_errors import PartyFailed
from fedlit.vertical.engine import Engine
from fedlit.vertical.party_checkpoints import PartyCheckpoints
from fedlit.vertical.rounds import cooperate
from fedlit.vertical.state import PartiesState


@dataclass
class PartiesLoop:
    """See `fedlit.experiment_rounds.Loop`.

    Attributes:
        afterwards: entries of the summary, computed after the last round, such as those of the baselines.
    """

    engine: Engine
    state: PartiesState
    rounds: int
    loggers: Logger
    checkpoints: PartyCheckpoints
    early_stopping: EarlyStopping
    folder: Path
    afterwards: Callable[[], dict[str, Any]] = dict
    entries: dict[str, Any] = field(default_factory=dict, init=False)
    harmless: ClassVar[tuple[type[Exception], ...]] = (InputError, PartyFailed)

    def begin(self) -> None:
        """Nothing is saved before round 1: the run begins again from its data."""
        self.checkpoints.folders.note_newest(0, None)

    def run(self) -> None:
        parts = self.loggers, self.checkpoints, self.early_stopping, self.folder
        cooperate(self.engine, self.state, self.rounds, *parts)
        self.checkpoints.save(self.state)  # the baselines may take longer than the rounds
        self.entries = self.afterwards()

    def save(self) -> None:
        self.checkpoints.save(self.state)

    def has(self, file: Any) -> bool:
        return self.checkpoints.folders.has(file)

    def summary(self) -> dict[str, Any]:
        return {"bytes": self.state.bytes.get(COMM_BYTES, 0)} | self.entries

    def close(self) -> None:
        """The engine is closed by its `with`."""
