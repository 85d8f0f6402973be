"""Settings that do not go together, and parts that lack what they need: refused before the data is read."""

from __future__ import annotations

import logging

from lightning.pytorch import LightningModule
from omegaconf import DictConfig

from fedlit.aggregators import Aggregator
from fedlit.aggregators.server_step import check_server_optimizer
from fedlit.aggregators.signatures import check_signatures
from fedlit.errors import InputError
from fedlit.settings.overrides import explicitly_set

log = logging.getLogger(__name__)


def check_server(aggregator: Aggregator, server_samples: int, public: int = 0) -> None:
    """Refuse what the server cannot do, which would be seen after a round of training only."""
    check_signatures(aggregator)
    check_server_optimizer(aggregator.server_optimizer)
    if aggregator.needs_server and not server_samples:
        raise InputError(f"{aggregator} needs samples of the server; write for example server_samples=100.")
    if aggregator.needs_public and not public:
        raise InputError(f"{aggregator} needs samples that all clients see; write for example data.public=100.")


def check_steps(
    aggregator: Aggregator,
    module: LightningModule,
    scheduled: bool,
    clipped: float | None,
    updates: int | None,
    finetuned: int = 0,
) -> None:
    """Refuse settings of the clients' optimiser where it takes no step.

    Args:
        scheduled: `lr_schedule` changes the clients' learning rates.
        clipped: `trainer.gradient_clip_val`.
        updates: `local_updates`.
        finetuned: `evaluation.finetune`, epochs in which the clients' optimiser does take steps.
    """
    if aggregator.clients_step:
        return
    because = f"would have no effect, because under {aggregator} the server takes the step"
    if updates is not None:
        raise InputError(f"local_updates {because}; leave it out.")
    if finetuned:
        return
    if type(module).configure_optimizers is not LightningModule.configure_optimizers:
        raise InputError(
            f"the configure_optimizers of {type(module).__name__} {because}; leave it out and write optimizer=sgd, or "
            "write aggregator=fedavg."
        )
    if scheduled:
        raise InputError(f"lr_schedule {because}; write lr_schedule@server_lr_schedule=<option> in its place.")
    if clipped:
        raise InputError(f"trainer.gradient_clip_val={clipped} {because}; leave it out.")


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


def warn_of_epochs(aggregator: Aggregator, epochs: int) -> None:
    """Warn of more than one local epoch where clients take no step."""
    if epochs > 1 and not aggregator.clients_step:
        log.warning("local_epochs=%d has no effect: under %s the server takes the step", epochs, aggregator)
