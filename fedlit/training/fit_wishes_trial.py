"""A trial before the run: what a fit of a module asks of its Trainer.

Schedulers and callbacks follow a logged metric by name. Only a fit shows them all (`configure_optimizers` and
`configure_callbacks` may read the trainer) and shows which names the training step logs. So a copy of the module is
tried on one batch, if it has a scheduler that follows a metric, callbacks, or hooks of a validation pass.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import CodeType
from typing import Any, Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Checkpoint,
    EarlyStopping,
    LearningRateFinder,
    ModelCheckpoint,
)
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fedlit.errors import InputError
from fedlit.global_generators import isolated_generators
from fedlit.quiet import silent
from fedlit.training.fit_wishes import FitWishes, Follower, logged_names
from fedlit.training.job import JobData
from fedlit.training.thawed import trial_epochs
from fedlit.training.trainer_state import TrainerState
from fedlit.user_module.module_snapshot import copied
from fedlit.user_module.validation_step import hide_dataloader_idx

log = logging.getLogger(__name__)

VALIDATION_HOOKS = (
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_batch_start",
    "on_validation_batch_end",
    "on_validation_epoch_end",
    "on_validation_end",
)
_READING = {"val_dataloaders", "num_val_batches"}
_ACTING = {"should_stop", "optimizers", "lr_schedulers", "param_groups", "requires_grad_"}


def fit_wishes(
    make_trainer: Callable[..., pl.Trainer],
    module: pl.LightningModule,
    data_for: Callable[[pl.Trainer], pl.LightningDataModule],
    data: JobData,
) -> FitWishes:
    """The wishes of a fit of `module`, from a trial of a copy where it may have any.

    Args:
        make_trainer: makes a Trainer of the run, with other arguments.
        data_for: returns data whose epochs and validation passes are one batch.
        data: of the run.

    Raises:
        InputError: Lightning refuses the module's configuration, or a callback trains by itself.
    """
    epochs = trial_epochs(data) if _validation_hooks(module) else 1
    trainer = make_trainer(
        max_epochs=epochs,
        limit_val_batches=1.0,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=1,
        val_check_interval=1.0,
    )
    if not _may_have_wishes(trainer, module):
        return FitWishes()
    try:
        trial = copied(module)
    except Exception as error:  # each fit of the run raises by itself
        log.info("%s cannot be copied for a trial", type(module).__name__, exc_info=error)
        return FitWishes()
    hide_dataloader_idx(trial)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        _check_callback(callback)
    if is_overridden("configure_callbacks", trial):
        trial.configure_callbacks = partial(_checked, trial.configure_callbacks)  # type: ignore[method-assign]
    watch, initial = _Watch(), TrainerState(trainer)
    trainer.callbacks.insert(0, watch)  # type: ignore[attr-defined]
    try:
        with silent(), isolated_generators(0):
            trainer.fit(trial, datamodule=data_for(trainer))
    except InputError:
        raise
    except MisconfigurationException as error:
        message = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"{type(module).__name__} cannot be trained as it is configured: {message}; change the scheduler, callback "
            "or option that this names, or leave it out."
        ) from error
    except Exception as error:
        log.info("%s: a fit of it cannot be tried before the run", type(module).__name__, exc_info=error)
    finally:
        initial.restore()
    loop = trainer.fit_loop.epoch_loop
    watch.wishes.by_training = logged_names(loop._results)
    watch.wishes.by_validation = logged_names(loop.val_loop._results)
    _add_readers(watch.wishes, module)
    return watch.wishes


def _may_have_wishes(trainer: pl.Trainer, module: pl.LightningModule) -> bool:
    if trainer.callbacks or is_overridden("configure_callbacks", module):  # type: ignore[attr-defined]
        return True
    if is_overridden("validation_step", module) and any(_reads_validation(c) for c in _codes(module)):
        return True
    if is_overridden("validation_step", module) and _validation_hooks(module):
        return True
    if "configure_optimizers" in vars(module) or type(module).__module__.startswith("fedlit."):
        return False  # fedlit's optimisers have no schedulers
    try:
        return any(map(_follows, _parts(copied(module).configure_optimizers())))
    except Exception:  # it needs a fit
        return True


def _validation_hooks(module: pl.LightningModule) -> list[str]:
    return [hook for hook in VALIDATION_HOOKS if is_overridden(hook, module)]


def _codes(module: pl.LightningModule) -> Iterator[CodeType]:
    """The code of the methods of the user's classes."""
    for owner in type(module).__mro__:
        if issubclass(owner, pl.LightningModule) and not owner.__module__.startswith("lightning."):
            members = (inspect.unwrap(member) for member in vars(owner).values() if inspect.isfunction(member))
            yield from (member.__code__ for member in members)


def _reads_validation(code: CodeType) -> bool:
    """Whether a method may read results or loaders of a validation pass."""
    return "callback_metrics" in code.co_names or (_is_of_fit(code) and not _READING.isdisjoint(code.co_names))


def _is_of_fit(code: CodeType) -> bool:
    """Whether a method runs in a fit also without a validation pass."""
    return not any(other in code.co_name for other in ("validation", "test", "predict"))


def _add_readers(wishes: FitWishes, module: pl.LightningModule) -> None:
    """Add the methods that read a validation metric or loader from the trainer, and hooks of a validation pass that act
    on the fit. What a hook does may depend on values, so that a trial does not show it."""
    for code in _codes(module):
        metrics = (wishes.by_validation - wishes.by_training).intersection(
            constant for constant in code.co_consts if isinstance(constant, str)
        )
        if metrics and "callback_metrics" in code.co_names:
            wishes.followers += [Follower(code.co_name, metric, "never") for metric in sorted(metrics)]
        reading = _READING.intersection(code.co_names)
        if reading and _is_of_fit(code) and not wishes.acts:
            wishes.acts = f"its method {code.co_name} reads {min(reading)}"
        acting = _ACTING.intersection(code.co_names)
        if code.co_name in VALIDATION_HOOKS and acting and not wishes.acts:
            wishes.acts = f"its hook {code.co_name} uses {min(acting)}"


def _parts(configuration: Any) -> Iterator[Any]:
    """The parts of what `configure_optimizers` returns."""
    yield configuration
    values = configuration.values() if isinstance(configuration, dict) else configuration
    if isinstance(values, list | tuple) or isinstance(configuration, dict):
        for value in values:
            yield from _parts(value)


def _follows(part: Any) -> bool:
    return isinstance(part, ReduceLROnPlateau) or (isinstance(part, dict) and "monitor" in part)


class _Watch(pl.Callback):
    """Notes the wishes. Followers do not act in the trial: a metric may be missing, and no file is written."""

    def __init__(self) -> None:
        self.wishes = FitWishes(is_complete=False)
        self._before: Any = None

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        for callback in (c for c in callbacks if c is not self):
            metric, name = getattr(callback, "monitor", None), type(callback).__name__
            if isinstance(metric, str):
                self.wishes.followers.append(Follower(name, metric, _raises(callback)))
            if isinstance(callback, ModelCheckpoint) and callback.dirpath and not _in(callback.dirpath, trainer):
                self.wishes.folders.append(str(callback.dirpath))
            hooks = [h for h in VALIDATION_HOOKS if getattr(type(callback), h) is not getattr(pl.Callback, h)]
            if hooks and not type(callback).__module__.startswith("lightning."):
                self.wishes.acts = f"its callback {name} has the hook {hooks[0]}"
        trainer.callbacks = [c for c in callbacks if not isinstance(c, EarlyStopping | Checkpoint)]  # type: ignore[attr-defined]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau and config.monitor and module.automatic_optimization:
                name = type(config.scheduler).__name__
                self.wishes.followers.append(Follower(name, config.monitor, "always" if config.strict else "never"))
                config.strict = False

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._before = _facts(trainer, module)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._before is None:
            return
        for name, value in _facts(trainer, module).items():
            if value != self._before[name]:
                self.wishes.acts = f"a hook of a validation pass changes {name}"

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.wishes.is_complete = True


def _facts(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """What a validation pass may change that a fit depends on."""
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    return {
        "the learning rate": [float(group["lr"]) for group in groups],
        "the weights": [(id(p), p._version, p.requires_grad) for p in module.parameters()],
        "trainer.should_stop": trainer.should_stop,
    }


def _raises(callback: Any) -> Literal["always", "after a validation pass", "never"]:
    if isinstance(callback, EarlyStopping) and callback.strict:
        return "always"
    saves = isinstance(callback, ModelCheckpoint) and callback.save_top_k != 0
    return "after a validation pass" if saves else "never"


def _in(folder: Any, trainer: pl.Trainer) -> bool:
    return os.path.realpath(folder).startswith(os.path.realpath(trainer.default_root_dir))


def _checked(configure_callbacks: Callable[[], Any]) -> Any:
    """The module's callbacks. Those that find a batch size act before all others."""
    callbacks = configure_callbacks()
    for callback in callbacks if isinstance(callbacks, Sequence) else [callbacks]:
        _check_callback(callback)
    return callbacks


def _check_callback(callback: Any) -> None:
    if isinstance(callback, BatchSizeFinder | LearningRateFinder):
        what = "batch_size" if isinstance(callback, BatchSizeFinder) else "the learning rate"
        raise InputError(
            f"the callback {type(callback).__name__} trains before each fit to find {what}, and such steps would count "
            f"as the client's; leave it out, and set {what} itself."
        )
