"""What one client's fit changes on the Trainer must not reach the next client: callbacks, the loss scale, options."""

from __future__ import annotations

import copy
from typing import Any

import lightning.pytorch as pl

_PLAIN = (int, float, str, bool, type(None))


class TrainerState:
    """The state of a Trainer before its first fit.

    A callback may count, stop early, or average weights; a hook may set `trainer.gradient_clip_val`; a scaler adapts
    its scale. An attribute that cannot be copied (an open file, a lock) is shared by all fits.

    Attributes:
        callbacks: of the Trainer.
    """

    def __init__(self, trainer: pl.Trainer):
        self._trainer = trainer
        self.callbacks = list(trainer.callbacks)  # type: ignore[attr-defined]
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        objects: list[Any] = [*self.callbacks, *([] if scaler is None else [scaler])]
        # memo of deep copies: a callback keeps pointing at the same Trainer and at other callbacks
        self._shared = {id(part): part for part in [trainer, *objects]}
        self._initial = [(part.__dict__, self._copied(part.__dict__)) for part in objects]
        self._options = {n: v for n, v in vars(trainer).items() if not n.startswith("_") and isinstance(v, _PLAIN)}

    def _copied(self, attributes: dict[str, Any]) -> dict[str, Any]:
        memo = dict(self._shared)

        def copy_of(value: Any) -> Any:
            try:
                return copy.deepcopy(value, memo)
            except Exception:
                return value

        return {name: copy_of(value) for name, value in attributes.items()}

    def restore(self) -> None:
        """Call it before each fit."""
        vars(self._trainer).update(self._options)
        self._trainer.callbacks = list(self.callbacks)  # type: ignore[attr-defined]
        for current, initial in self._initial:
            restored = self._copied(initial)
            current.clear()
            current.update(restored)
