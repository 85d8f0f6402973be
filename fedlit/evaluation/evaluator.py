"""The evaluation after a round: the global model on pooled data and on each client's data, and personal models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fedlit.client_tasks import PersonalEvaluationTask
from fedlit.data import DataSource, ExtraTest, Samples
from fedlit.engines import Engine
from fedlit.evaluation.evaluated import Evaluated
from fedlit.evaluation.evaluation import Evaluation, client_rows, global_rows
from fedlit.evaluation.headline import best_row, choosing_metric
from fedlit.evaluation.measure import Measured
from fedlit.evaluation.spread import pooled
from fedlit.evaluation.tally import Totals
from fedlit.federation import Federation
from fedlit.metric_names import GLOBAL, PERSONAL, USED, Row, personal_test_metric, validation_metric
from fedlit.model_vectors import Model
from fedlit.notices import warn
from fedlit.state import FederationState
from fedlit.used_models import FineTuning, UsedModels, has_personal_models

log = logging.getLogger(__name__)
_CONFUSED = 1000  # classes up to which there is a confusion matrix: its entries are the square


class Evaluator:
    """Called after each round; measures in the rounds that `options` name.

    Args:
        rounds: the number of the last round.
        finetuning: of the models that clients receive; None: none.

    Attributes:
        directions: of metrics; those that torchmetrics' metrics declare are added when they are measured.
    """

    def __init__(
        self, options: Evaluation, data: DataSource, rounds: int, seed: int, finetuning: FineTuning | None = None
    ):
        self.options, self.data, self.rounds, self.seed, self.finetuning = options, data, rounds, seed, finetuning
        self._pooled = [options.pooled_samples(seed, len(data.test))]
        self.directions = options.directions()
        self._warned = False

    def watched(self, round_number: int, cohort: Sequence[int]) -> tuple[frozenset[int], bool]:
        """The clients whose received and trained models are measured in this round, and whether after each local
        epoch."""
        if not self.options.is_due(round_number, self.rounds):
            return frozenset(), False
        return self.options.watched_clients(self.seed, round_number, cohort), self.options.each_epoch

    def __call__(
        self, federation: Federation, state: FederationState, engine: Engine, round_number: int, personal: bool = True
    ) -> Evaluated:
        """The metrics after a round; all is empty in rounds that are not evaluated.

        Args:
            personal: also measure personal models; False where the states of the clients are not known.
        """
        if not self.options.is_due(round_number, self.rounds):
            return Evaluated()
        result = Evaluated()
        clients = federation.clients
        evaluated = self.options.evaluated_clients(federation.seed, len(clients.test))
        are_personal = self.are_personal(federation, state, round_number, evaluated)
        model = federation.aggregator.global_model(state.server)
        if model is not None:
            self._of_global(result, model, federation, state, engine, evaluated, are_personal)
        if are_personal and personal:
            self._of_clients(result, federation, state, engine, round_number, evaluated)
        return result

    def client_lines(self, facts: Sequence[dict[str, Any]], evaluated: Evaluated) -> Sequence[dict[str, Any]]:
        """What loggers get of the clients of a round: of those that trained, and by `evaluation.per_client` of those
        that were measured."""
        return evaluated.lines(facts) if self.options.per_client else facts

    def are_personal(
        self, federation: Federation, state: FederationState, round_number: int, clients: Sequence[int]
    ) -> bool:
        """Whether clients use models of their own, by the algorithm or by fine-tuning."""
        if self.finetuning is not None:
            return True
        round = federation.round(round_number, clients[:1], "evaluate")
        return not federation.clients.pooled and has_personal_models(federation, state, round)

    def _of_global(
        self,
        result: Evaluated,
        model: Model,
        federation: Federation,
        state: FederationState,
        engine: Engine,
        evaluated: Sequence[int],
        are_personal: bool,
    ) -> None:
        clients, host, row = federation.clients, engine.local_worker.host, result.row
        pooled_test = host.data.test if self.options.client_test == "same_partition" else self.data.test
        measure = partial(host.measure, model, state.counters)
        classes = self.data.classes if (self.data.classes or 0) <= _CONFUSED else None
        clean = measure(pooled_test, "test", self._pooled, [-1], classes)
        self.directions.declared |= host.subject.higher_is_better
        row |= global_rows("test", clean.totals)
        self._warn_if_empty(clean.totals, engine)
        if clean.confusion is not None:
            result.pictures["confusion"] = clean.confusion
        for name, test in self.options.extra.items():
            row |= self._of_extra(name, ExtraTest.of(test), pooled_test, measure)
        tests = measure(host.data.test, "test", [clients.test[c] for c in evaluated], evaluated).totals
        row |= client_rows(GLOBAL, tests, better=self.directions.better)
        measure = partial(measure, host.data.train, "validation")
        parts, validations = [clients.validation[c] for c in evaluated], None
        result.add(GLOBAL, evaluated, tests)
        if not are_personal:
            validations = measure(parts, evaluated).totals
            row |= self._rows(USED, tests, validations)
            result.add(USED, evaluated, tests, validations)
        if validations is None or not host.measuring.is_sum_of_parts(host.subject):
            together = np.concatenate([*parts, np.empty(0, np.int64)])
            owners = np.repeat(np.array(evaluated, dtype=np.int64), [len(part) for part in parts])
            validations = measure([together], [owners]).totals
        row |= global_rows("validation", validations)

    def _of_extra(self, name: str, test: ExtraTest, samples: Samples, measure: Callable[..., Measured]) -> Row:
        """The metrics of the global model on a changed test set."""
        index = test.chosen(self._pooled[0], samples.labels())
        totals = measure(samples, "test", [index], [-1], change=test.transform, metrics=test.names is None).totals
        if test.names is None:
            return global_rows(f"test_{name}", totals)
        row: Row = {test.names[metric]: value for metric, value in pooled(totals).items() if metric in test.names}
        if len(index) and not row:
            missing = ", ".join(test.names.values())
            warn(f"{missing} is not measured, because forward gives no score a class (N, classes).")
        return row

    def _of_clients(
        self,
        result: Evaluated,
        federation: Federation,
        state: FederationState,
        engine: Engine,
        round_number: int,
        evaluated: Sequence[int],
    ) -> None:
        pooled, federation = federation.clients.pooled, federation.apart()
        clients = federation.clients.longest_first(evaluated)
        round = federation.round(round_number, clients, "evaluate")
        task = PersonalEvaluationTask(UsedModels(federation.aggregator, self.finetuning))
        cohort = federation.cohort(round, state, stateless=pooled)  # the state of client 0 is that of the pooled client
        facts = [client for chunk in engine.run(task, cohort) for client in chunk.facts]
        for client in facts:
            self.directions.declared |= client.get("higher_is_better", {})
        tests, validations = ([client[split] for client in facts] for split in ("test", "validation"))
        if any(len(federation.clients.test[c]) for c in clients):
            self._warn_if_empty(tests, engine)
        result.row.update(self._rows(PERSONAL, tests, validations) | self._rows(USED, tests, validations))
        result.add(USED, [client["client"] for client in facts], tests, validations)
        result.are_personal = True

    def _rows(self, model: str, tests: Sequence[Totals], validations: Sequence[Totals]) -> Row:
        """The metrics of one model a client: `accuracy` is on test data, `validation_accuracy` on validation data."""
        better = self.directions.better
        row = client_rows(model, validations, validation_metric, better)
        return row | client_rows(model, tests, personal_test_metric, better)  # last: `evaluated` counts the tests

    def _warn_if_empty(self, totals: Sequence[Totals], engine: Engine) -> None:
        """Warn once, because the run would otherwise end without metrics and without a word about it."""
        if self._warned or any(totals):
            return
        self._warned = True
        log.warning(
            "%s: nothing can be measured on test data, so this run has no metrics and no best round. Log a number in "
            'its test_step, such as self.log("loss", loss), or let forward(x) give a score a class (N, classes).',
            type(engine.local_worker.host.module).__name__,
        )

    def note_if_best(self, state: FederationState, row: Row) -> bool:
        """Whether this round is the best so far on validation data. If so, it is recorded in the state."""
        choice = choosing_metric([row])
        if choice is None or choice[1] != "validation":
            return False
        name, best = choice[0], state.best
        if best is not None and best_row([best, {"round": state.round, name: row[name]}], name) is best:
            return False
        state.best = {"round": state.round, name: float(row[name])}
        return True
