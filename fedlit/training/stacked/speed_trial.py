"""How fast `trainer=vectorized` would train clients that another trainer has trained: tried on a copy of the module."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields

import torch
from lightning.pytorch import LightningModule

from fedlit.training.cohort import Cohort
from fedlit.training.module_host import ModuleHost
from fedlit.training.stacked.refusals import refuse, refuse_optimizers, refuse_validation
from fedlit.training.stacked.setup import StackPlan
from fedlit.training.stacked.stackability import choose_plan
from fedlit.training.stacked.trainer import VectorizedTrainer
from fedlit.training.stacked.worker import StackedWorker
from fedlit.training.trainer import Trainer
from fedlit.training.worker import ClientTask
from fedlit.user_module.module_snapshot import copied


@dataclass
class Speeds:
    """Seconds a client."""

    together: float  # its part in a round, as `trainer=vectorized` does it with all clients that were tried
    steps: float  # its fits alone, in a plain loop of the steps without a Trainer


def speeds(
    trainer: Trainer, host: ModuleHost, task: ClientTask, fits_alone: ClientTask, cohort: Cohort
) -> Speeds | None:
    """Train the cohort on a copy of the host's module; None where clients cannot be stacked. Draws are keyed, so that
    nothing of the run changes where its samples are in memory.

    Args:
        trainer: whose options the clients are trained with.
        task: the clients' part in a round.
        fits_alone: the same without measurements.
        cohort: two clients or more. The first two are trained once before, because a first call takes longer.

    Raises:
        InputError: only a Lightning Trainer can train the module.
        Exception: the step does something that a stack cannot do.
    """
    options = VectorizedTrainer(**{option.name: getattr(trainer, option.name) for option in fields(Trainer)})
    module = _copied(host.module)
    refuse(options.precision, module)
    trial_host = ModuleHost(options, module, host.data, host.measuring, host.thawed)
    refuse_validation(options, trial_host)
    refuse_optimizers(module, trial_host.sample_data)
    plan = choose_plan(options, trial_host, "auto", None)
    if not plan.stacked:
        return None
    stacked, plain = (
        StackedWorker(trial_host, p, None, None, silent=True)
        for p in (plan, StackPlan(False, reads_batch_idx=plan.reads_batch_idx))
    )
    _seconds(stacked, task, cohort[:2])
    together = _seconds(stacked, task, cohort)
    _seconds(plain, fits_alone, cohort[:1])
    return Speeds(together / len(cohort), _seconds(plain, fits_alone, cohort[:2]) / 2)


def _seconds(worker: StackedWorker, task: ClientTask, cohort: Cohort) -> float:
    """The time of these clients, in chunks as a run cuts them."""
    device = worker.host.device
    begin = time.perf_counter()
    for rows in worker.chunks(cohort.jobs):
        worker.run(task, cohort[rows])
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def _copied(module: LightningModule) -> LightningModule:
    """A deep copy without the trainer, which has the data."""
    parts = [part for part in module.modules() if isinstance(part, LightningModule)]
    trainers = [part._trainer for part in parts]
    try:
        for part in parts:
            part._trainer = None
        return copied(module)
    finally:
        for part, trainer in zip(parts, trainers, strict=True):
            part._trainer = trainer
