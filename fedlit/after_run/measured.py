"""The models of a checkpoint measured: on the clients' own data, on those of other clients, on other data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from omegaconf import DictConfig, OmegaConf

from fedlit.after_run.mismatch import check_fits
from fedlit.after_run.reopened import Reopened
from fedlit.data import DataSource
from fedlit.errors import InputError
from fedlit.evaluation.direction import Direction
from fedlit.evaluation.evaluation import client_rows, global_rows
from fedlit.evaluation.evaluator import Evaluator
from fedlit.evaluation.tally import Totals
from fedlit.experiment import Experiment
from fedlit.experiment_data import with_labels_for
from fedlit.metric_names import GLOBAL, USED, Row, personal_test_metric
from fedlit.model_vectors import Model
from fedlit.trained_models import check_client, used_model
from fedlit.written_values import as_written

log = logging.getLogger(__name__)


@dataclass
class ClientLine:
    """What was measured on the samples of one client, or by the model of one client on other data.

    Attributes:
        client: its number; -1: all samples together.
        models: model -> metric -> (sum, number of samples).
    """

    client: int
    models: dict[str, Totals]


@dataclass
class Measurement:
    """
    Attributes:
        row: the metrics, with the names that they have in metrics.jsonl.
        lines: by client.
    """

    row: Row = field(default_factory=dict)
    lines: list[ClientLine] = field(default_factory=list)


def measure_own(run: Reopened) -> Measurement:
    """The global model and the clients' models on the run's own data, as in the evaluation after a round."""
    experiment = run.experiment
    number = max(experiment.state.round, 1)
    evaluator = _evaluator(experiment, number)
    personal = can_be_personal(experiment)
    evaluated = evaluator(experiment.federation, experiment.state, experiment.engine, number, personal)
    if not evaluated.row:
        raise InputError(_nothing_measured(run))
    if not personal:
        log.warning("The global model alone is measured: %s.", _no_states(experiment))
    return Measurement(evaluated.row, [ClientLine(k, evaluated.clients[k]) for k in sorted(evaluated.clients)])


def measure_client(run: Reopened, client: int) -> Measurement:
    """The model of one client on the test data of each client, and on all of them."""
    experiment, name = run.experiment, f"client_{client}"
    model = _client_model(experiment, client)
    host, options = experiment.engine.local_worker.host, experiment.evaluation
    clients, seed = experiment.federation.apart().clients, experiment.federation.seed
    numbers = options.evaluated_clients(seed, len(clients.test))
    counters = experiment.state.counters
    tests = host.measure(model, counters, host.data.test, "test", [clients.test[k] for k in numbers], numbers).totals
    pooled_test = host.data.test if options.client_test == "same_partition" else experiment.data.test
    index = options.pooled_samples(seed, len(experiment.data.test))
    pooled = host.measure(model, counters, pooled_test, "test", [index], [-1]).totals
    better = _better(experiment)
    lines = [_line(k, name, totals) for k, totals in zip([-1, *numbers], [*pooled, *tests], strict=True)]
    return Measurement(client_rows(name, tests, personal_test_metric, better), lines)


def measure_other(run: Reopened, data: DataSource, client: int | None) -> Measurement:
    """The global model, and the models of clients, each on all test samples of other data.

    Args:
        client: the model of this client alone; None: all that there are.
    """
    experiment = run.experiment
    check_fits(experiment.data, data)
    data = with_labels_for(experiment.module, data)
    _warn_of_normalisation(run)
    federation, state = experiment.federation, experiment.state
    models = _models(run) if client is None else {client: _client_model(experiment, client)}
    host = experiment.engine.local_worker.host
    samples = data.test.to(host.device)
    index = experiment.evaluation.pooled_samples(federation.seed, len(samples))
    measured: dict[int, Totals] = {}
    with _transformed_by(experiment, data):
        for k, model in models.items():
            [totals] = host.measure(model, state.counters, samples, "test", [index], [-1]).totals
            measured[k] = totals
    row = global_rows("test", [measured[-1]]) if -1 in measured else {}
    of_clients = [totals for k, totals in measured.items() if k >= 0]
    if len(of_clients) > 1:
        row |= client_rows(USED, of_clients, personal_test_metric, _better(experiment))
    lines = [_line(k, GLOBAL if k < 0 else USED, totals) for k, totals in measured.items()]
    return Measurement(row, lines)


def _line(client: int, model: str, totals: Totals) -> ClientLine:
    return ClientLine(client, {model: {personal_test_metric(metric): value for metric, value in totals.items()}})


def _models(run: Reopened) -> dict[int, Model]:
    """The global model, by the number -1, and the models of clients."""
    experiment = run.experiment
    federation, state = experiment.federation, experiment.state
    model = federation.aggregator.global_model(state.server)
    models = {} if model is None else {-1: model}
    clients = experiment.evaluation.evaluated_clients(federation.seed, len(federation.apart().clients))
    if _evaluator(experiment, 1).are_personal(federation, state, max(state.round, 1), clients):
        if can_be_personal(experiment):
            models |= {client: used_model(experiment, client) for client in clients}
        else:
            log.warning("The global model alone is measured: %s.", _no_states(experiment))
    if not models:
        raise InputError(_nothing_measured(run))
    return models


def _client_model(experiment: Experiment, client: int) -> Model:
    check_personal(experiment, client)
    check_client(experiment, client)
    return used_model(experiment, client)


def can_be_personal(experiment: Experiment) -> bool:
    """Whether the clients' models can be had from the checkpoint: not so if they need states that it lacks."""
    if experiment.has_client_states:
        return True
    keeps = bool(experiment.federation.aggregator.client_state(experiment.federation.initial_model))
    return not keeps and not experiment.engine.local_worker.host.options.keep_optimizer_state


def check_personal(experiment: Experiment, asked: object) -> None:
    """
    Args:
        asked: the value of `personal=`: a client, or True.

    Raises:
        InputError: all clients use the global model, or the checkpoint lacks the states of clients.
    """
    federation, state = experiment.federation, experiment.state
    if not _evaluator(experiment, 1).are_personal(federation, state, max(state.round, 1), [0]):
        raise InputError(
            f"personal={as_written(asked)}: under {federation.aggregator} no client has a model of its own, all use "
            "the global one; leave the word out."
        )
    if not can_be_personal(experiment):
        raise InputError(f"personal={as_written(asked)}: {_no_states(experiment)}; write checkpoint=last.")


def _nothing_measured(run: Reopened) -> str:
    """Why a run without a global model gives no number, and what to write."""
    experiment = run.experiment
    if not can_be_personal(experiment):
        return f"checkpoint={run.checkpoint}: {_no_states(experiment)}; write checkpoint=last."
    none = f"{experiment.federation.aggregator} has no global model, and "
    if experiment.evaluation.clients == 0:
        return f"evaluation.clients=0: {none}no client is measured; write evaluation.clients=100."
    return f"{none}no measured client has test data of its own; write personal=<client> for all test samples."


def _no_states(experiment: Experiment) -> str:
    return (
        f"the best round was saved without the states of clients, which {experiment.federation.aggregator} needs for "
        "their models"
    )


def _better(experiment: Experiment) -> Callable[[str], Direction]:
    """The directions of metrics, with those that measured metric objects have declared."""
    directions = _evaluator(experiment, 1).directions
    directions.declared |= experiment.engine.local_worker.host.subject.higher_is_better
    return directions.better


def _evaluator(experiment: Experiment, rounds: int) -> Evaluator:
    seed = experiment.federation.seed
    return Evaluator(experiment.evaluation, experiment.data, rounds, seed, experiment.finetuning)


@contextmanager
def _transformed_by(experiment: Experiment, data: DataSource) -> Iterator[None]:
    """In the block, batches are transformed as those of other data are."""
    host = experiment.engine.local_worker.host
    before, host.data = host.data, replace(host.data, transform=data.transform)
    try:
        yield
    finally:
        host.data = before


def _warn_of_normalisation(run: Reopened) -> None:
    """Warn where other data are not normalised by the numbers by which the run's are."""
    assert run.other_config is not None
    other, trained = (_normalisation(config) for config in (run.other_config, run.config.data))
    if other == "training":
        log.warning(
            "the inputs of these data are normalised by their own training samples, and not by those of the run; give "
            "the numbers by 'data.normalize=[mean,std]' where the data set has this option."
        )
    elif None not in (other, trained) and other != trained:
        log.warning(
            "the inputs of these data are normalised by data.normalize=%s, and those of the run by data.normalize=%s; "
            "write %s where the same inputs should be the same numbers.",
            *(as_written(value) for value in (other, trained)),
            "the numbers of the run" if trained == "training" else f"data.normalize={as_written(trained)}",
        )


def _normalisation(config: DictConfig) -> object:
    """The option `normalize` of data; None if there is no such option."""
    if "csv_sites" in str(config.get("_target_")):
        return "training"
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return plain.get("normalize")
