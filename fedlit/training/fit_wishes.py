"""What a fit of a module asks of its Trainer: logged metrics that it follows, and a validation pass."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Literal

import lightning.pytorch as pl

from fedlit.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Follower:
    """A scheduler or a callback that follows a logged metric.

    Attributes:
        raises: where the metric is not logged.
    """

    name: str
    metric: str
    raises: Literal["always", "after a validation pass", "never"]

    @property
    def is_strict(self) -> bool:
        return self.raises == "always"


@dataclass
class FitWishes:
    """
    Attributes:
        followers: of logged metrics.
        by_training, by_validation: names that the training and the validation step log, with their hooks.
        acts: what a validation pass does to a fit, in words; empty where it does nothing.
        folders: the folders into which ModelCheckpoints write because the user named them.
        is_complete: the trial has run to its end; else the names of logged values are not all known.
    """

    followers: list[Follower] = field(default_factory=list)
    by_training: set[str] = field(default_factory=set)
    by_validation: set[str] = field(default_factory=set)
    acts: str = ""
    folders: list[str] = field(default_factory=list)
    is_complete: bool = True

    @property
    def of_validation(self) -> list[Follower]:
        """Those whose metric a validation pass logs, and the training step does not. (The value of a name that both log
        is that of training.)"""
        logged = self.by_validation if self.is_complete else {f.metric for f in self.followers}
        return [f for f in self.followers if f.metric in logged - self.by_training]

    def check_logged(self, module: pl.LightningModule, validated: bool) -> None:
        """
        Args:
            validated: fits have validation passes.

        Raises:
            InputError: a scheduler or a callback follows a metric that nothing logs, and would raise.
        """
        logged = self.by_training | self.by_validation
        for follower in self.followers if self.is_complete else ():
            if follower.metric in logged:
                continue
            names = ", ".join(sorted(logged)) or "nothing"
            sentence = (
                f"{type(module).__name__}: its {follower.name} follows {follower.metric}, and a fit logs {names}; let "
                f"it follow a logged metric, or write self.log({follower.metric!r}, ...)"
            )
            if follower.is_strict or (validated and follower.raises != "never"):
                raise InputError(f"{sentence}.")
            log.warning("%s. It does nothing as it is.", sentence)


def logged_names(results: Any) -> set[str]:
    """The names of logged values in a Trainer's results."""
    metas = [entry.meta for entry in results.values()]
    return {name for m in metas for name in ((m.name, f"{m.name}_step", f"{m.name}_epoch") if _forks(m) else (m.name,))}


def _forks(meta: Any) -> bool:
    return bool(meta.on_step and meta.on_epoch)
