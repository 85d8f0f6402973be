"""The loop over rounds with clients that hold rows, as `experiment_rounds` runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fedlit.checkpoint import Checkpoints
from fedlit.early_stopping import EarlyStopping
from fedlit.engines import Engine
from fedlit.engines.failures import ClientFailed
from fedlit.errors import InputError
from fedlit.evaluation.evaluator import Evaluator
from fedlit.federation import Federation
from fedlit.live_objects import given_tensors
from fedlit.rounds import federate
from fedlit.state import FederationState
from fedlit.tracking import Logger


@dataclass
class FederationLoop:
    """See `fedlit.experiment_rounds.Loop`."""

    federation: Federation
    state: FederationState
    engine: Engine
    evaluator: Evaluator
    loggers: Logger
    checkpoints: Checkpoints
    early_stopping: EarlyStopping
    harmless: ClassVar[tuple[type[Exception], ...]] = (InputError, ClientFailed)

    @property
    def rounds(self) -> int:
        return self.federation.rounds

    def begin(self) -> None:
        self.checkpoints.save_first(self.state, given_tensors())

    def run(self) -> None:
        parts = self.engine, self.evaluator, self.loggers, self.checkpoints, self.early_stopping
        federate(self.federation, self.state, *parts)

    def save(self) -> None:
        self.checkpoints.save(self.state)

    def has(self, file: Any) -> bool:
        return self.checkpoints.has(file)

    def summary(self) -> dict[str, Any]:
        return {"lost": self.state.lost}

    def close(self) -> None:
        self.state.clients.close()
