"""The callbacks that a module brings, without those that print for each fit: progress bars and summaries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelSummary, ProgressBar
from lightning.pytorch.utilities.model_helpers import is_overridden

from fedlit.notices import warn


def hide_printing_callbacks(module: LightningModule) -> None:
    """Leave them out of what `configure_callbacks` of this object returns."""
    if is_overridden("configure_callbacks", module):
        module.configure_callbacks = partial(_without_printing, module)  # type: ignore[method-assign]


def _without_printing(module: LightningModule) -> list[Any]:
    callbacks = type(module).configure_callbacks(module)
    kept = []
    for callback in callbacks if isinstance(callbacks, Sequence) else [callbacks]:
        if isinstance(callback, ProgressBar | ModelSummary):
            warn(
                f"{type(module).__name__}: its callback {type(callback).__name__} would print for each client's fit "
                "and is left out; progress=rich draws one of the run."
            )
        else:
            kept.append(callback)
    return kept
