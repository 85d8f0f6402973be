"""The evaluation of a round: the global model on pooled data, one model over many clients, personal models."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedlit.atomic_files import write_text
from fedlit.client_tasks import PersonalEvaluationTask
from fedlit.data import DataSource
from fedlit.engines import Engine
from fedlit.evaluation import Evaluation, client_rows, global_rows, has_personal_models
from fedlit.evaluation.headline import best_row, choosing
from fedlit.evaluation.measure import Totals
from fedlit.federation import Federation
from fedlit.round import Round
from fedlit.state import FederationState
from fedlit.tracking.logger import Row

log = logging.getLogger(__name__)


class Evaluator:
    def __init__(self, config: Evaluation, data: DataSource, folder: Path, rounds: int, seed: int):
        self.config, self.data, self.folder, self.rounds, self.seed = config, data, folder, rounds, seed
        self.everything = [config.pooled(seed, len(data.test))]
        self._warned = False

    def wanted(self, number: int, cohort: Sequence[int]) -> tuple[frozenset[int], bool]:
        """Whose received and trained models are measured in this round, and whether after each local epoch."""
        if not self.config.due(number, self.rounds):
            return frozenset(), False
        return self.config.watched(self.seed, number, cohort), self.config.each_epoch

    def __call__(
        self, f: Federation, state: FederationState, engine: Engine, number: int
    ) -> tuple[Row, dict[str, np.ndarray]]:
        """A row of metrics and pictures by name; nothing in rounds that are not evaluated."""
        if not self.config.due(number, self.rounds):
            return {}, {}
        row: Row = {}
        pictures: dict[str, np.ndarray] = {}
        shown = self.config.shown(f.seed, len(f.clients.test))
        model = f.aggregator.global_model(state.server)
        if model is not None:
            here = engine.local_worker.data  # on the worker's device
            test = here.test if self.config.client_test == "same_partition" else self.data.test
            pooled = engine.local_worker.measure(model, test, self.everything, [-1], self.data.classes)
            row |= global_rows("test", pooled.totals)
            self._warn_if_nothing(pooled.totals, engine)
            if pooled.confusion is not None:
                pictures["confusion"] = pooled.confusion
            local = [f.clients.test[c] for c in shown]
            row |= client_rows("global", engine.local_worker.measure(model, here.test, local, shown).totals)
            validation = [f.clients.validation[c] for c in shown]
            row |= global_rows("validation", engine.local_worker.measure(model, here.train, validation, shown).totals)
        if has_personal_models(f.aggregator) and not f.clients.pooled:
            row |= self._personal(f, state, engine, number, shown)
        return row, pictures

    def _personal(
        self, f: Federation, state: FederationState, engine: Engine, number: int, shown: Sequence[int]
    ) -> Row:
        cohort = f.clients.longest_first(shown)
        round = Round(number, f.seed, cohort, len(f.clients), "evaluate")
        found = engine.run(PersonalEvaluationTask(f.aggregator), f.cohort(round, state))
        facts = [one for back in found for one in back.facts]
        tests = [one["test"] for one in facts]
        if any(len(f.clients.test[c]) for c in cohort):
            self._warn_if_nothing(tests, engine)
        row = client_rows("personal", tests)
        return row | client_rows("personal", [one["validation"] for one in facts], "validation_")

    def _warn_if_nothing(self, totals: Sequence[Totals], engine: Engine) -> None:
        """Once a run: else it would end without metrics and without a word."""
        if self._warned or any(totals):
            return
        self._warned = True
        log.warning(
            "%s: nothing can be measured on test data, so this run has no metrics and no best round. Log a number in "
            'its test_step, such as self.log("loss", loss), or let forward(x) give a score a class (N, classes).',
            type(engine.local_worker.module).__name__,
        )

    def chose(self, state: FederationState, row: Row) -> bool:
        """Whether this round is the best so far by validation; then it is noted in the state."""
        choice = choosing([row])
        if choice is None or choice[1] != "validation":
            return False
        name, before = choice[0], state.best
        if before is not None and best_row([before, {"round": state.round, name: row[name]}], name) is before:
            return False
        state.best = {"round": state.round, name: float(row[name])}
        return True

    def write_clients(self, number: int, facts: Sequence[dict[str, Any]]) -> None:
        """A line a client into clients.jsonl, where `evaluation.each_epoch` asks for it."""
        if not self.config.each_epoch:
            return
        with open(self.folder / "clients.jsonl", "a", encoding="utf-8") as file:
            for one in facts:
                file.write(json.dumps({"round": number} | one) + "\n")

    def forget_clients(self, after: int) -> None:
        """Drop the lines of rounds that come again after a kill."""
        path = self.folder / "clients.jsonl"
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["round"] <= after:
                    kept.append(line + "\n")
            except ValueError:
                continue  # cut off by the kill
        write_text(path, "".join(kept))
