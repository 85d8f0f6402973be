"""From a configuration to a run: build the objects, create or load the state, run the rounds, write the summary."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig, OmegaConf

from fedlit import interrupts
from fedlit.aggregators import Aggregator
from fedlit.aggregators.server_step import check_server_optimizer
from fedlit.aggregators.signatures import check_signatures
from fedlit.algorithm_trial import try_algorithm
from fedlit.checkpoint import Checkpoints, saved_bits
from fedlit.clients import Clients, share_out
from fedlit.data import DataSource, chain
from fedlit.data.loader_workers import no_workers_left
from fedlit.engines import Engine
from fedlit.engines.failures import ClientFailed
from fedlit.engines.machine import set_up_process
from fedlit.errors import InputError, NotWritten, one_line
from fedlit.evaluation import Evaluation
from fedlit.evaluation.evaluator import Evaluator
from fedlit.experiment_data import check_same_data, load_data, public_samples, with_labels_for
from fedlit.federation import Federation
from fedlit.global_generators import seed_everything
from fedlit.messages import chosen_reduction, run_weighting
from fedlit.messages.pipeline import Pipeline
from fedlit.models.data_check import check_data
from fedlit.models.optimizer import check_optimizer, give_optimizer
from fedlit.old_lightning_name import is_of_old_package
from fedlit.partitions import Partition, histogram
from fedlit.plurals import counted
from fedlit.probe import refuse_missing_model
from fedlit.randomness import seed_number
from fedlit.readable_names import readable
from fedlit.rounds import federate
from fedlit.sampler_trial import try_sampler
from fedlit.samplers import Sampler, checked_expected
from fedlit.saved_rounds import newest_saved, resume_command, saved_rounds
from fedlit.schedules import check_schedule
from fedlit.settings.classes import build
from fedlit.settings.overrides import explicitly_set
from fedlit.settings.saved import began_in, saved_files
from fedlit.state import FederationState
from fedlit.stores import Store
from fedlit.tracking import About, Logger, Loggers, MetricsFile
from fedlit.tracking.clients_file import ClientsFile
from fedlit.tracking.figures import Figures
from fedlit.tracking.log_lines import LogLines
from fedlit.tracking.logger import DRAWN_CLIENTS
from fedlit.tracking.metrics_file import NAME, read
from fedlit.tracking.progress import progress
from fedlit.tracking.summary import summarise
from fedlit.tracking.summary import write as write_summary
from fedlit.training import JobData, Trainer
from fedlit.used_models import FineTuning
from fedlit.user_module.module_snapshot import counters
from fedlit.user_module.old_hooks import refuse_old_hooks
from fedlit.working_folder import from_command, in_folder

log = logging.getLogger(__name__)


def run(config: DictConfig, folder: Path, overrides: list[str]) -> int:
    """Run the experiment in its folder, from the start or from the newest checkpoint.

    Args:
        config: the configuration of the run, already checked.
        folder: the run folder, already locked.
        overrides: the words of the command line that it was composed of.

    Returns:
        The exit code: 0, or `INTERRUPTED`, `TERMINATED` or `HUNG_UP` after a signal.
    """
    updates = local_updates(config, overrides)
    start_folder = began_in(folder, resumed=config.resume is not None)
    make = partial(_build_in, start_folder)
    trainer: Trainer = make(config.trainer, "trainer")
    engine: Engine = make(config.engine, "engine")
    threads = _threads(config, folder, engine.default_threads(trainer))
    set_up_process(threads)
    with ExitStack() as until_end, engine, no_workers_left():
        aggregator: Aggregator = make(config.aggregator, "aggregator")
        uplink = {str(name): make(stage, f"uplink.{name}") for name, stage in config.uplink.items()}
        configured_reduction = None if config.reduction is None else make(config.reduction, "reduction")
        reduction = chosen_reduction(aggregator, uplink, configured_reduction)
        public = public_samples(config.data)
        _check_server(aggregator, config.server_samples, public)
        data, data_facts = load_data(config.data, config.batch_size, start_folder)
        check_same_data(folder, saved_bits(folder).get("data"), data_facts)
        evaluation: Evaluation = make(config.evaluation, "evaluation")
        partition: Partition = make(config.partition, "partition")
        clients = _clients(config, data, partition, evaluation, public, aggregator.pooled, updates)
        if aggregator.needs_validation and clients.no_validation:
            raise InputError(f"{aggregator} measures losses on validation samples: {clients.no_validation}.")
        sampler: Sampler = make(config.sampler, "sampler")
        sampler.setup(clients.train.sizes)
        checked_expected(sampler, len(clients))  # refuses a number that is too large
        try_sampler(sampler, len(clients), config.seed)
        lr_schedule, server_lr_schedule = (make(config[key], key) for key in ("lr_schedule", "server_lr_schedule"))
        for schedule in (lr_schedule, server_lr_schedule):
            check_schedule(schedule, config.rounds, saved_bits(folder).get("rounds"))
        make_module = partial(_module, config, data.input_shape, data.classes, overrides, start_folder)
        module = make_module()
        _check_steps(aggregator, module, lr_schedule.changes, config.trainer.get("gradient_clip_val"), updates)
        check_data(module, data)
        data = with_labels_for(module, data)

        shift = partition.transform(seed_number(config.seed, "feature shift"))
        tests = data.test if evaluation.client_test == "same_partition" else data.train
        transform = chain(data.transform, shift)
        epochs = config.local_epochs if updates is None else 1
        job_data = JobData(data.train, tests, transform, epochs, clients.no_validation, data.users)
        engine.start(trainer, module, job_data, evaluation.measure(data.classes), make_module)
        host = engine.local_worker.host
        layout = host.layout
        finetuning = FineTuning.of(evaluation.finetune, evaluation.finetune_only, layout)
        initial_counters = {n: c.cpu() for n, c in counters(host.module).items()}  # with those of configure_model
        pipeline = Pipeline(aggregator, uplink, reduction, run_weighting(aggregator, uplink))
        try_algorithm(pipeline, clients, engine.local_worker, initial_counters, config.seed, server_lr_schedule.changes)
        aggregator.setup(layout, len(clients))
        initial_model = layout.read(host.module)
        federation = Federation(
            aggregator,
            sampler,
            pipeline,
            clients,
            initial_model,
            config.seed,
            config.rounds,
            lr_schedule,
            server_lr_schedule,
        )
        interval, keep = config.checkpoint.every, config.checkpoint.keep
        bits = {"threads": threads, "data": data_facts, "device": layout.device.type, "rounds": config.rounds}
        checkpoints = Checkpoints(folder, saved_files(config, overrides), interval, keep, bits)
        store: Store = make(config.store, "store")
        store.open(checkpoints.folder, layout.device)
        state = checkpoints.load(store, layout.device)
        if state is None:
            server = aggregator.server_state(
                initial_model, torch.Generator().manual_seed(seed_number(config.seed, "server"))
            )
            state = FederationState(0, server, store, initial_counters)
        state.sampler = state.sampler or sampler.initial_state()
        refuse_missing_model(federation, state)
        if finetuning is not None:
            finetuning.check(federation, state)
        evaluator = Evaluator(evaluation, data, config.rounds, config.seed, finetuning)
        files: list[Logger] = [MetricsFile(), *([ClientsFile()] if evaluation.each_epoch else [])]
        loggers = Loggers([*files, build(config.logger, "logger"), Figures(), LogLines(), progress(config.progress)])
        about = _describe(config, folder, data, clients, module, layout, state.round)
        until_end.enter_context(interrupts.handled())  # before it, a signal ends the command at once
        return _run_rounds(federation, state, engine, evaluator, loggers, checkpoints, about)


def _build_in(folder: Path, config: Any, key: str, **optional: Any) -> Any:
    """`build`, with relative paths meant from a folder."""
    with in_folder(folder):
        return build(config, key, **optional)


def _run_rounds(
    federation: Federation,
    state: FederationState,
    engine: Engine,
    evaluator: Evaluator,
    loggers: Logger,
    checkpoints: Checkpoints,
    about: About,
) -> int:
    """Run the rounds, save the state and write the summary; the exit code."""
    folder = about.folder
    interrupted: interrupts.Interrupted | None = None
    if state.round >= federation.rounds:
        done = counted(federation.rounds, "round")
        log.warning("this run has done its %s; write rounds=<more> to go on with it.", done)
    try:
        loggers.start(about)
        try:
            federate(federation, state, engine, evaluator, loggers, checkpoints)
        except interrupts.Interrupted as error:
            interrupted = error
        except Exception as error:
            interrupted = interrupts.requested()
            if interrupted is None or isinstance(error, NotWritten):
                _save_before(error, state, checkpoints, folder)
                raise
            log.warning("after the signal: %s", one_line(error))
        if interrupted is None or _last_logged_round(folder) == state.round:
            checkpoints.save(state)
        rows = read(folder / NAME)
        if rows:
            summary = summarise(rows, folder, state.seconds) | {"lost": state.lost}
            write_summary(summary, folder)
            loggers.finish(summary)
    finally:
        loggers.close()
        state.clients.close()
    if interrupted is not None:
        print(f"stopped after round {newest_saved(folder)}; go on with: {resume_command(folder)}", flush=True)
        return interrupted.exit_code
    return 0


def _save_before(error: Exception, state: FederationState, checkpoints: Checkpoints, folder: Path) -> None:
    """Save the rounds before an error that leaves the state as it was after the last round in metrics.jsonl: a client
    that failed, an input that is refused, a full disk where no logger has missed a part of the round."""
    keeps_state = isinstance(error, InputError | ClientFailed)
    if isinstance(error, NotWritten):
        keeps_state = checkpoints.has(error.file)
    if not keeps_state or not state.round or _last_logged_round(folder) != state.round:
        return
    with suppress(NotWritten):
        checkpoints.save(state)
    if not isinstance(error, NotWritten):  # else the end of the command says it
        log.warning("%s", saved_rounds(folder))


def _last_logged_round(folder: Path) -> int:
    """The last round that has a line in metrics.jsonl; 0 if there is none."""
    rows = read(folder / NAME)
    return int(rows[-1]["round"]) if rows else 0


def _threads(config: DictConfig, folder: Path, default: int) -> int:
    """The number of threads of one operation, in every process that trains.

    The last bits of a result depend on it, so a resumed run uses the saved number, also on another engine.
    """
    saved = saved_bits(folder).get("threads")
    if saved is not None:
        return int(saved)
    return default if config.threads is None else int(config.threads)


def _check_server(aggregator: Aggregator, server_samples: int, public: int = 0) -> None:
    """Refuse what the server cannot do, which would be seen after a round of training only."""
    check_signatures(aggregator)
    check_server_optimizer(aggregator.server_optimizer)
    if aggregator.needs_server and not server_samples:
        raise InputError(f"{aggregator} needs samples of the server; write for example server_samples=100.")
    if aggregator.needs_public and not public:
        raise InputError(f"{aggregator} needs samples that all clients see; write for example data.public=100.")


def _check_steps(
    aggregator: Aggregator, module: LightningModule, scheduled: bool, clipped: float | None, updates: int | None
) -> None:
    """Refuse settings of the clients' optimiser where it takes no step.

    Args:
        scheduled: `lr_schedule` changes the clients' learning rates.
        clipped: `trainer.gradient_clip_val`.
        updates: `local_updates`.
    """
    if aggregator.clients_step:
        return
    because = f"would have no effect, because under {aggregator} the server takes the step"
    if type(module).configure_optimizers is not LightningModule.configure_optimizers:
        raise InputError(
            f"the configure_optimizers of {type(module).__name__} {because}; leave it out and write optimizer=sgd, or "
            "write aggregator=fedavg."
        )
    if scheduled:
        raise InputError(f"lr_schedule {because}; write server_lr_schedule in its place.")
    if clipped:
        raise InputError(f"trainer.gradient_clip_val={clipped} {because}; leave it out.")
    if updates is not None:
        raise InputError(f"local_updates {because}; leave it out.")


def local_updates(config: DictConfig, overrides: list[str]) -> int | None:
    """Batches of a client in a round, in place of local epochs: `local_updates` optimiser steps.

    Raises:
        InputError: another setting says how many batches there are, too.
    """
    if config.local_updates is None:
        return None
    which = f"local_updates={config.local_updates}"
    if explicitly_set(overrides, "local_epochs"):
        raise InputError(
            f"{which} takes the place of local_epochs={config.local_epochs}; leave local_epochs out, or write "
            "local_updates=null."
        )
    limit = config.trainer.get("limit_train_batches")
    if limit is not None:
        raise InputError(
            f"{which} is the number of a client's batches, and so is trainer.limit_train_batches={limit}; leave one of "
            "the two out."
        )
    return int(config.local_updates) * int(config.trainer.get("accumulate_grad_batches") or 1)


def _clients(
    config: DictConfig,
    data: DataSource,
    partition: Partition,
    evaluation: Evaluation,
    public: int,
    pooled: bool,
    updates: int | None,
) -> Clients:
    return share_out(
        data,
        partition,
        config.clients,
        config.seed,
        evaluation,
        config.batch_size,
        config.local_epochs,
        config.server_samples,
        public,
        pooled,
        updates,
    )


def _module(
    config: DictConfig,
    input_shape: tuple[int, ...] | None,
    classes: int | None,
    overrides: list[str],
    start_folder: Path,
) -> LightningModule:
    """The model, with initial weights that depend on the seed only, and with `optimizer=` if its class has none."""
    seed_everything(seed_number(config.seed, "first weights"))
    module = _build_in(start_folder, config.model, "model", input_shape=input_shape, classes=classes)
    if is_of_old_package(module):
        raise InputError(
            f"model._target_={config.model._target_}: {type(module).__name__} inherits from a class of "
            "pytorch_lightning, which was imported before the run, and fedlit trains with lightning; write import "
            "lightning.pytorch as pl in its file, and start Python again."
        )
    if not isinstance(module, LightningModule):
        raise InputError(
            f"model._target_={config.model._target_}: this makes a {type(module).__name__}, not a LightningModule; "
            "give a class that inherits from lightning.LightningModule."
        )
    if not is_overridden("training_step", module):
        raise InputError(f"{type(module).__name__} has no training_step; fedlit trains with it: write one.")
    refuse_old_hooks(module)
    if is_overridden("configure_optimizers", module):
        if explicitly_set(overrides, "optimizer"):
            raise InputError(
                f"{type(module).__name__} has its own configure_optimizers, so optimizer= would not be used; leave one "
                "of the two out."
            )
    else:
        factory = build(config.optimizer, "optimizer")
        give_optimizer(module, factory)
        check_optimizer(module, factory)
    return module


def _describe(
    config: DictConfig,
    folder: Path,
    data: DataSource,
    clients: Clients,
    module: LightningModule,
    layout: Any,
    resumed_after: int,
) -> About:
    """The description of the run for its loggers."""
    labels = data.train.labels()
    shown = min(len(clients), DRAWN_CLIENTS)
    label_counts = None
    if labels is not None and data.classes:
        label_counts = histogram(clients.train, labels, data.classes, clients=slice(0, shown))
    plain_config: Any = OmegaConf.to_container(config, resolve=True)
    epochs, updates = config.local_epochs, config.local_updates
    work = counted(epochs, "local epoch") if updates is None else counted(updates, "local update")
    schedule = f"{counted(config.rounds, 'round')} of {work}"
    facts = {
        "data": f"{data.name}, {len(data.train)} training and {counted(len(data.test), 'test sample')}"
        + (f", {len(clients.public)} of the training samples public" if len(clients.public) else ""),
        "clients": f"{len(clients)}, {_class_name(config.partition)}, shards of {_samples(clients.train.sizes)}",
        "model": f"{type(module).__name__}, {layout.size:,} trained parameters",
        "aggregator": f"{_class_name(config.aggregator)}, {schedule}",
        "folder": from_command(folder),
    }
    name = readable(str(config.name) if config.name is not None else folder.name)
    return About(
        folder,
        name,
        plain_config,
        config.rounds,
        resumed_after,
        label_counts,
        clients.train.sizes,
        data.label_names,
        facts,
    )


def _class_name(config: Mapping[str, Any]) -> str:
    return str(config["_target_"]).rpartition(".")[2]


def _samples(sizes: np.ndarray) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return counted(low, "sample") if low == high else f"{low:,} to {high:,} samples"
