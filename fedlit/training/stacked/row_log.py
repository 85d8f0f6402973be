"""The module's `self.log` in the fit of one client without a Trainer.

Lightning's own result collection keeps the values, so that every form of `log` (reductions, torchmetrics, several calls
a step) has the result that it has on a Trainer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fedlit.lightning_compat import ResultCollection


class RowLog:
    """
    Attributes:
        values: by name, as a Trainer's `callback_metrics`.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = device
        self.values: dict[str, Tensor] = {}
        self._results = ResultCollection(training=True)

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: Any = "mean",
        enable_graph: bool = False,
        *ignored: Any,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        **also_ignored: Any,
    ) -> None:
        """Replaces the module's `log`."""
        if isinstance(value, int | float):
            value = torch.full((), value, dtype=torch.get_default_dtype(), device=self.device)
        self._results.log(
            "training_step",
            name,
            value,
            on_step=on_step is not False,
            on_epoch=bool(on_epoch),
            reduce_fx=reduce_fx,
            enable_graph=enable_graph,
            batch_size=batch_size,
            metric_attribute=metric_attribute,
        )

    def begin_step(self, batch: Any) -> None:
        """
        Args:
            batch: its size is the weight of the step's values in a mean over the epoch.
        """
        self._results.batch, self._results.batch_size = batch, None

    def end_step(self) -> None:
        self._results.batch = None
        self.values.update(self._results.metrics(on_step=True)["callback"])

    def end_epoch(self) -> None:
        self.values.update(self._results.metrics(on_step=False)["callback"])
        self._results.reset()

    def numbers(self) -> dict[str, float]:
        """The values that are single numbers."""
        return {n: float(v) for n, v in self.values.items() if v.numel() == 1}
