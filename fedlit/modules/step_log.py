"""What a module's `self.log` gives in a fit without a Lightning Trainer: for K clients, (K,) numbers a name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class _Entry:
    on_step: bool
    on_epoch: bool
    last: Tensor  # (K,)
    total: Tensor  # (K,) over the epoch, by batch size
    weight: Tensor  # (K,)


@dataclass
class StepLog:
    clients: int
    entries: dict[str, _Entry] = field(default_factory=dict)
    now: dict[str, tuple[Any, bool, bool, int | None]] = field(default_factory=dict)  # of the step that runs

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        *ignored: Any,
        batch_size: int | None = None,
        **also_ignored: Any,
    ) -> None:
        """In the place of the module's `log`; means over an epoch are weighted by batch size."""
        if hasattr(value, "compute"):  # a torchmetric: what it has seen so far
            value = value.compute()
        value = value.detach() if torch.is_tensor(value) else torch.tensor(float(value))
        epoch = bool(on_epoch)
        self.now[name] = (value, on_step is not False, epoch, batch_size)

    def taken(self) -> dict[str, Tensor]:
        """The step's values, to be carried out of vmap."""
        return {name: entry[0] for name, entry in self.now.items()}

    def add(self, rows: slice | Tensor, values: dict[str, Tensor], batch_size: int) -> None:
        """A step of these clients: `values` (n,)."""
        for name, value in values.items():
            _, on_step, on_epoch, own_size = self.now[name]
            if name not in self.entries:
                zeros = [torch.zeros(self.clients, dtype=value.dtype, device=value.device) for _ in range(3)]
                self.entries[name] = _Entry(on_step, on_epoch, *zeros)
            entry, weight = self.entries[name], own_size or batch_size
            entry.last[rows] = value
            if on_epoch:
                entry.total[rows] += value * weight
                entry.weight[rows] += weight
        self.now.clear()

    def begin_epoch(self) -> None:
        for entry in self.entries.values():
            entry.total.zero_()
            entry.weight.zero_()

    def metrics(self, row: int) -> dict[str, float]:
        """A client's numbers under Lightning's names (`callback_metrics`)."""
        found: dict[str, float] = {}
        for name, entry in self.entries.items():
            if not entry.on_epoch:
                found[name] = float(entry.last[row])
                continue
            mean = float(entry.total[row] / entry.weight[row]) if entry.weight[row] else float("nan")
            found[name] = mean
            if entry.on_step:
                found |= {f"{name}_step": float(entry.last[row]), f"{name}_epoch": mean}
        return found
