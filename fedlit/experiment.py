"""From a configuration to a run: build the objects, create or load the state, run the rounds, write the summary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import LightningModule
from omegaconf import DictConfig

from fedlit import interrupts
from fedlit.aggregators import Aggregator
from fedlit.algorithm_trial import try_algorithm
from fedlit.attacks import Attack, NoAttack, ready_attack, with_attack
from fedlit.checkpoint import Checkpoints, facts_of, saved_bits
from fedlit.clients import Clients, share_out
from fedlit.data import DataSource, chain
from fedlit.data.loader_workers import no_workers_left
from fedlit.early_stopping import EarlyStopping, go_on
from fedlit.engines import Engine
from fedlit.engines.machine import set_up_process
from fedlit.errors import InputError
from fedlit.evaluation import Evaluation
from fedlit.evaluation.evaluator import Evaluator
from fedlit.experiment_about import describe
from fedlit.experiment_data import check_same_data, check_types, load_data, public_samples, with_labels_for
from fedlit.experiment_loggers import all_loggers, chosen_loggers
from fedlit.experiment_messages import check_messages, message_parts
from fedlit.experiment_module import make_module
from fedlit.experiment_refusals import check_server, check_steps, local_updates, warn_of_epochs
from fedlit.experiment_rounds import run_rounds
from fedlit.federation import Federation
from fedlit.federation_loop import FederationLoop
from fedlit.live_objects import is_live
from fedlit.messages.composition import run_weighting
from fedlit.messages.pipeline import Pipeline
from fedlit.method_signatures import check_methods
from fedlit.models.data_check import check_data
from fedlit.partition_file import write_partition
from fedlit.partitions import Partition
from fedlit.probe import refuse_missing_model
from fedlit.randomness import seed_number
from fedlit.sampler_trial import try_sampler
from fedlit.samplers import Sampler, checked_expected
from fedlit.schedules import RoundSchedule, check_schedule
from fedlit.settings.classes import build_in
from fedlit.settings.saved import began_in, saved_files
from fedlit.state import FederationState
from fedlit.stores import Store
from fedlit.tracking.targets import Targets
from fedlit.training import JobData, Trainer
from fedlit.used_models import FineTuning
from fedlit.user_module.module_snapshot import counters
from fedlit.vectorized_hint import VectorizedHint


@dataclass(frozen=True)
class Experiment:
    """The objects of a run, with the state of its newest checkpoint or of its start."""

    federation: Federation
    state: FederationState
    engine: Engine
    evaluation: Evaluation
    data: DataSource
    module: LightningModule
    checkpoints: Checkpoints
    finetuning: FineTuning | None
    early_stopping: EarlyStopping
    targets: Targets
    has_client_states: bool = True  # False: the checkpoint holds the server's state alone


def run(config: DictConfig, folder: Path, overrides: list[str], shown: str | None = None) -> int:
    """Run the experiment in its folder, from the start or from the newest checkpoint.

    Args:
        config: the configuration of the run, already checked.
        folder: the run folder, already locked.
        overrides: the words of the command line that it was composed of.
        shown: how progress is shown, in place of `progress=`.

    Returns:
        The exit code: 0, or `INTERRUPTED`, `TERMINATED` or `HUNG_UP` after a signal.
    """
    chosen = chosen_loggers(config)
    with ExitStack() as until_end, opened(config, folder, overrides) as experiment:
        federation, state, engine = experiment.federation, experiment.state, experiment.engine
        evaluation, data, clients = experiment.evaluation, experiment.data, federation.clients
        evaluator = Evaluator(evaluation, data, config.rounds, config.seed, experiment.finetuning)
        has_room = (shown or config.progress) not in ("none", "line")  # for a line beside those of rounds
        hint = [VectorizedHint(federation, state, engine, evaluator)] if has_room else []
        loggers = all_loggers(config, evaluation.writes_clients, chosen, shown, hint)
        layout = engine.local_worker.host.layout
        malicious = federation.attack.malicious.numbers
        about = describe(config, folder, data, clients, experiment.module, layout, state.round, malicious)
        if not state.round:
            write_partition(folder, clients, data, tests_are_cut=evaluation.client_test != "same_partition")
        if config.profile:
            from fedlit.profiling.profile import profiled

            until_end.enter_context(profiled(engine, loggers, folder, prints=has_room))
        until_end.enter_context(interrupts.handled())  # before it, a signal ends the command at once
        stopping, targets = experiment.early_stopping, experiment.targets
        stopping.warn_of_target(targets.directions)
        targets.warn_of_values()
        federation.attack.warn_of_rounds(config.rounds)
        loop = FederationLoop(federation, state, engine, evaluator, loggers, experiment.checkpoints, stopping)
        return run_rounds(loop, loggers, about, stopping, targets)


@dataclass(frozen=True)
class Reading:
    """A finished run is opened to look at it: nothing is tried, and nothing in its folder changes.

    Attributes:
        checkpoint: the name of a folder in `checkpoints/`.
        data_folder: the folder from which relative paths of the data are meant; None: that in which the run began.
    """

    checkpoint: str
    data_folder: Path | None = None


@contextmanager
def opened(
    config: DictConfig, folder: Path, overrides: list[str], reading: Reading | None = None
) -> Iterator[Experiment]:
    """Build the objects of a run, try them, and load its newest checkpoint, or that of `reading`.

    Args:
        config, folder, overrides: as in `run`.
    """
    updates = local_updates(config, overrides)
    start_folder = began_in(folder, resumed=config.resume is not None)
    make = partial(build_in, start_folder)
    trainer: Trainer = make(config.trainer, "trainer")
    engine: Engine = make(config.engine, "engine")
    threads = _threads(config, folder, engine.default_threads(trainer))
    set_up_process(threads)
    with engine, no_workers_left():
        aggregator: Aggregator = make(config.aggregator, "aggregator")
        parts = message_parts(config, make, aggregator)
        public = public_samples(config.data)
        check_server(aggregator, config.server_samples, public)
        data_folder = (reading and reading.data_folder) or start_folder
        data, data_facts = load_data(config.data, config.batch_size, data_folder)
        read = {} if reading is None else facts_of(folder / "checkpoints" / reading.checkpoint)
        bits = saved_bits(folder) if reading is None else read.get("bits", {})
        named = f"resume={folder}" if reading is None else str(folder)
        check_same_data(named, bits.get("data"), data_facts)
        evaluation: Evaluation = make(config.evaluation, "evaluation")
        stop_options = {name: config.stop[name] for name in ("metric", "patience", "target")}
        early_stopping, targets = EarlyStopping(**stop_options), Targets(config.targets, evaluation.directions())
        early_stopping.check_options(evaluation.directions())
        partition: Partition = make(config.partition, "partition")
        clients = _clients(config, data, partition, evaluation, public, aggregator.pooled, updates)
        if aggregator.needs_validation and clients.no_validation:
            raise InputError(f"{aggregator} measures losses on validation samples: {clients.no_validation}.")
        sampler: Sampler = make(config.sampler, "sampler")
        check_methods(sampler, Sampler)
        sampler.setup(clients.train.sizes)
        checked_expected(sampler, len(clients))  # refuses a number that is too large
        try_sampler(sampler, len(clients), config.seed)
        lr_schedule, server_lr_schedule = (make(config[key], key) for key in ("lr_schedule", "server_lr_schedule"))
        for schedule in (lr_schedule, server_lr_schedule):
            check_methods(schedule, RoundSchedule)
            check_schedule(schedule, config.rounds, saved_bits(folder).get("rounds"))
        module_maker = partial(make_module, config, data.input_shape, data.classes, overrides, start_folder)
        module = module_maker()
        clipped = config.trainer.get("gradient_clip_val")
        check_steps(aggregator, module, lr_schedule.changes, clipped, updates, evaluation.finetune)
        check_data(module, data)
        check_types(module, data, str(config.trainer.get("precision", "32-true")))
        data = with_labels_for(module, data)

        attack: Attack = make(config.attack, "attack") if config.get("attack") else NoAttack()
        attack = ready_attack(attack, data, len(clients.test), config.seed, str(aggregator), aggregator.pooled)
        uplink, around = with_attack(attack, parts.uplink, parts.reduction)
        evaluation = replace(evaluation, extra={**evaluation.extra, **attack.extra_tests(data)})
        shift = partition.transform(seed_number(config.seed, "feature shift"))
        tests = data.test if evaluation.client_test == "same_partition" else data.train
        transform = chain(data.transform, shift)
        epochs = config.local_epochs if updates is None else 1
        warn_of_epochs(aggregator, epochs)
        poison = attack.poison(data)
        job_data = JobData(data.train, tests, transform, epochs, clients.no_validation, data.users, poison)
        rebuild = None if is_live(str(config.model._target_)) else module_maker
        engine.start(trainer, module, job_data, evaluation.measure(data.classes), rebuild)
        host = engine.local_worker.host
        layout = host.layout
        finetuning = FineTuning.of(evaluation.finetune, evaluation.finetune_only, layout)
        initial_counters = {n: c.cpu() for n, c in counters(host.module).items()}  # with those of configure_model
        pipeline = Pipeline(aggregator, uplink, around, run_weighting(aggregator, uplink), layout)
        pipeline.setup(layout, len(clients))
        for stage in parts.downlink.values():
            stage.setup(layout, len(clients))
        schedules = lr_schedule.changes, server_lr_schedule.changes
        if reading is None:
            message = try_algorithm(pipeline, clients, engine.local_worker, initial_counters, config.seed, *schedules)
            expected = checked_expected(sampler, len(clients))
            sizes = clients.train.sizes
            check_messages(pipeline, parts.reduction, message, len(clients), expected, config.server_samples, sizes)
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
            parts.downlink,
            attack,
        )
        interval, keep = config.checkpoint.every, config.checkpoint.keep
        before = saved_bits(folder)
        bits = {
            "threads": threads,
            "data": data_facts,
            "device": layout.device.type,
            "rounds": config.rounds,
            "stop": stop_options,
        }
        checkpoints = Checkpoints(folder, saved_files(config, overrides), interval, keep, bits)
        store: Store = make(config.store, "store")
        store.open(checkpoints.folder, layout.device)
        if reading is None:
            state = checkpoints.load(store, layout.device)
        else:
            state = checkpoints.read(reading.checkpoint, store, layout.device)
        if state is None:
            server = aggregator.server_state(
                initial_model, torch.Generator().manual_seed(seed_number(config.seed, "server"))
            )
            state = FederationState(0, server, store, initial_counters, messages=federation.messages_state())
        go_on(state, *(before.get(key) not in (None, bits[key]) for key in ("stop", "rounds")))
        state.sampler = state.sampler or sampler.initial_state()
        refuse_missing_model(federation, state)
        if finetuning is not None:
            finetuning.check(federation, state)
        yield Experiment(
            federation,
            state,
            engine,
            evaluation,
            data,
            module,
            checkpoints,
            finetuning,
            early_stopping,
            targets,
            has_client_states="only" not in read,
        )


def _threads(config: DictConfig, folder: Path, default: int) -> int:
    """The number of threads of one operation, in every process that trains.

    The last bits of a result depend on it, so a resumed run uses the saved number, also on another engine.
    """
    saved = saved_bits(folder).get("threads")
    if saved is not None:
        return int(saved)
    return default if config.threads is None else int(config.threads)


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
