"""Measuring by the module's own `test_step`, else `validation_step`: the values that it logs on a Lightning Trainer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from torch.utils.data import Dataset
from torchmetrics import Metric

from fedlit.data.client_data import dataset_of
from fedlit.errors import InputError
from fedlit.evaluation.measured_module import MeasuredModule
from fedlit.evaluation.parts import Parts
from fedlit.evaluation.tally import Totals
from fedlit.global_generators import preserved_cpu_generators
from fedlit.lightning_compat import init_optimizers_and_schedulers
from fedlit.notices import warn
from fedlit.user_module.training_step import call_evaluation_step
from fedlit.user_module.validation_step import hide_dataloader_idx


def measure_parts(subject: MeasuredModule, parts: Parts, batch_size: int) -> list[Totals]:
    """The logged values of each part. `subject` is open."""
    return [_measured(subject, parts, row, batch_size) if len(parts.parts[row]) else {} for row in range(len(parts))]


def _measured(subject: MeasuredModule, parts: Parts, row: int, batch_size: int) -> Totals:
    module, trainer, name, key = subject.module, subject.test_trainer, subject.step_name, parts.key(row)
    assert name is not None
    n = float(len(parts.parts[row]))

    def run() -> None:
        del module.log  # the Trainer has to receive the logged values
        own_step = getattr(module, name)
        hide_dataloader_idx(module)

        def step(batch: Any, batch_idx: int) -> Any:
            with subject.step(key, batch_idx):
                return call_evaluation_step(own_step, batch, batch_idx)

        setattr(module, name, step)
        tensors = list(module.parameters())
        strategy = trainer.strategy
        with preserved_cpu_generators(), suppress(Exception):  # a hook may read them; what it needs of a fit, it lacks
            strategy.optimizers, strategy.lr_scheduler_configs = init_optimizers_and_schedulers(module)
        loader, data = _Loader(parts, row, batch_size), subject.data_for(trainer)
        data.test_dataloader = data.val_dataloader = lambda: loader  # type: ignore[method-assign]
        (trainer.test if name == "test_step" else trainer.validate)(module, datamodule=data, verbose=False)
        if [id(p) for p in tensors] != [id(p) for p in module.parameters()]:
            raise InputError(
                f"{subject.name}: its setup or configure_model makes new parameters when a Trainer tests it, and the "
                "trained ones would not be measured; make them once, such as by `if self.net is None`."
            )

    subject.tried(key, run)
    _note_logged(subject, trainer.test_loop if name == "test_step" else trainer.validate_loop, name)
    return {logged: (float(v) * n, n) for logged, v in trainer.callback_metrics.items() if v.numel() == 1}


def _note_logged(subject: MeasuredModule, loop: Any, step_name: str) -> None:
    """Note the directions of logged metrics, and warn of values that are logged by step only."""
    results = loop._results
    for entry in results.values() if results else ():
        if not entry.meta.on_epoch:
            warn(
                f"{subject.name}: {step_name} logs {entry.meta.name} with on_epoch=False, and a value by step has no "
                "mean over samples, so it is not measured; log it with on_epoch=True."
            )
        higher = getattr(entry.value, "higher_is_better", None) if isinstance(entry.value, Metric) else None
        if higher is not None:
            subject.higher_is_better[entry.meta.name] = bool(higher)


class _Loader:
    """The loader of a part: a Trainer may iterate it more than once."""

    def __init__(self, parts: Parts, row: int, batch_size: int):
        self._parts, self._row, self.batch_size = parts, row, batch_size

    def __len__(self) -> int:
        return -(-len(self._parts.parts[self._row]) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        return self._parts.batches(self._row, self.batch_size)

    @property
    def dataset(self) -> Dataset[Any]:
        """The part's samples, without the transform of a batch."""
        return dataset_of(self._parts.samples, self._parts.parts[self._row].index)
