"""The trained models of a run as LightningModules of their own, apart from the run."""

from __future__ import annotations

from lightning.pytorch import LightningModule
from torch import Tensor

from fedlit.errors import InputError
from fedlit.experiment import Experiment
from fedlit.model_vectors import Model, stack, tree_map
from fedlit.used_models import UsedModels
from fedlit.user_module.module_snapshot import copied


def global_module(experiment: Experiment) -> LightningModule:
    """The global model.

    Raises:
        InputError: the algorithm has none.
    """
    aggregator = experiment.federation.aggregator
    model = aggregator.global_model(experiment.state.server)
    if model is None:
        raise InputError(
            f"{aggregator} has no global model; write run.personal(<client>) for the model of a client, or "
            "personal=<client> in a command."
        )
    return _as_module(experiment, model, experiment.state.counters)


def personal_module(experiment: Experiment, client: int) -> LightningModule:
    """The model that a client uses on its data: its personal one, fine-tuned if the run measured it so, or else the
    global one.

    Raises:
        InputError: there is no such client.
    """
    check_client(experiment, client)
    return _as_module(experiment, used_model(experiment, client), experiment.state.counters)


def check_client(experiment: Experiment, client: int) -> None:
    """
    Raises:
        InputError: there is no such client.
    """
    number = len(experiment.federation.apart().clients)
    if isinstance(client, bool) or not isinstance(client, int) or not 0 <= client < number:
        raise InputError(f"client {client!r}: the run has the clients 0 to {number - 1}; give one of these.")


def used_model(experiment: Experiment, client: int) -> Model:
    """The model (P,), (S,) that a client uses on its data."""
    pooled, federation, state = experiment.federation.clients.pooled, experiment.federation.apart(), experiment.state
    worker = experiment.engine.local_worker
    round = federation.round(max(state.round, 1), [client], "evaluate")
    cohort = federation.cohort(round, state, stateless=pooled)  # the state of client 0 is that of the pooled client
    trained = worker.client(cohort.jobs, cohort.counters, [kept.get("optimizer", {}) for kept in cohort.states])
    received = tree_map(lambda t: t.expand(1, *t.shape), cohort.broadcast) | cohort.downloads
    algorithm_states = stack([kept["algorithm"] for kept in cohort.states])
    model = UsedModels(federation.aggregator, experiment.finetuning)(trained, received, algorithm_states)
    return tree_map(lambda t: t[0] if t.dim() > 1 else t, model)


def _as_module(experiment: Experiment, model: Model, counters: dict[str, Tensor]) -> LightningModule:
    """A copy of the run's module on the CPU, in evaluation mode, with these numbers."""
    host = experiment.engine.local_worker.host
    host.snapshot.restore()
    host.load(model, counters)
    module = copied(host.module)
    if host.sets_round:
        del module.round
    module.trainer = None
    return module.cpu().eval()
