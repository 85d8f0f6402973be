"""The module's `self.log` in the fit of a stack of K clients: K numbers for each logged name.

Only plain forms are supported: a number once a step, reduced by step, by epoch or both. Any other form raises
TypeError, and the clients are trained one by one (see `row_log`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class _Entry:
    """The numbers of one logged name."""

    on_step: bool
    on_epoch: bool
    last: Tensor  # (K,) the value of the last step
    total: Tensor  # (K,) sum over the steps of the epoch, each times its batch size
    weight: Tensor  # (K,) sum of these batch sizes
    mean: Tensor  # (K,) of the last epoch in which it was logged
    seen: Tensor  # (K,) bools: it was logged at least once

    @staticmethod
    def of(clients: int, like: Tensor, on_step: bool, on_epoch: bool) -> _Entry:
        last, total, weight, mean = like.new_zeros(4, clients).unbind()
        return _Entry(on_step, on_epoch, last, total, weight, mean, seen=last.bool())


@dataclass
class StepLog:
    """
    Attributes:
        entries: by logged name.
        current: values and options (value, on_step, on_epoch, batch_size) that the running step has logged, by name.
    """

    clients: int
    device: torch.device | str = "cpu"
    entries: dict[str, _Entry] = field(default_factory=dict)
    current: dict[str, tuple[Any, bool, bool, int | None]] = field(default_factory=dict)

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: Any = "mean",
        *ignored: Any,
        batch_size: int | None = None,
        **also_ignored: Any,
    ) -> None:
        """Replaces the module's `log`. Means over an epoch are weighted by batch size.

        Raises:
            TypeError: a form of `log` that is not supported here.
        """
        if hasattr(value, "compute"):
            raise TypeError(f"the step logs a torchmetric, {name}")
        if on_epoch and reduce_fx not in ("mean", "avg", torch.mean):
            raise TypeError(f"the step logs {name} with a reduce_fx")
        if name in self.current:
            raise TypeError(f"the step logs {name} twice")
        value = value.detach() if torch.is_tensor(value) else torch.full((), float(value), device=self.device)
        if value.dtype not in (torch.float32, torch.float64):
            value = value.to(torch.get_default_dtype())
        self.current[name] = (value, on_step is not False, bool(on_epoch), batch_size)

    def current_values(self) -> dict[str, Tensor]:
        """The values that the step has logged: outputs of the function under vmap."""
        return {name: entry[0].reshape(()) for name, entry in self.current.items()}

    def add(self, rows: slice | Tensor, values: dict[str, Tensor], batch_size: int) -> None:
        """Add a step of some clients: `values` (n,) by name."""
        for name, value in values.items():
            value = value.to(self.device)
            _, on_step, on_epoch, logged_size = self.current[name]
            if name not in self.entries:
                self.entries[name] = _Entry.of(self.clients, value, on_step, on_epoch)
            entry, weight = self.entries[name], logged_size or batch_size
            entry.last[rows] = value
            entry.seen[rows] = True
            if on_epoch:
                entry.total[rows] += value * weight
                entry.weight[rows] += weight
        self.current.clear()

    def end_epoch(self) -> None:
        for entry in self.entries.values():
            entry.mean = torch.where(entry.weight > 0, entry.total / entry.weight, entry.mean)
            entry.total.zero_()
            entry.weight.zero_()

    def metrics(self) -> list[dict[str, float]]:
        """Each client's numbers after an epoch, under the names that Lightning's `callback_metrics` has."""
        metrics: list[dict[str, float]] = [{} for _ in range(self.clients)]
        for name, entry in self.entries.items():
            values = {name: entry.mean if entry.on_epoch else entry.last}
            if entry.on_epoch and entry.on_step:
                values |= {f"{name}_step": entry.last, f"{name}_epoch": entry.mean}
            seen = entry.seen.tolist()
            for metric, column in values.items():
                for row, value in enumerate(column.tolist()):
                    if seen[row]:
                        metrics[row][metric] = value
        return metrics
