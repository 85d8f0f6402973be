"""How the clients of a module are trained, as a stack or one by one, and what every step of a stack needs."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from fedlit.training.module_host import ModuleHost

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StackPlan:
    """How a module's clients are trained (decided in `stackability`)."""

    stacked: bool
    patch_vmap: bool = False  # the step runs under `torch_patches.vmap_patches`
    per_client_facts: frozenset[str] = frozenset()  # facts of the trainer that the step reads and that differ by client
    reads_batch_idx: bool = False
    reason: str | None = None  # why clients are trained one by one, where that was not the user's choice


class Notices:
    """Warnings of a run, once for each cause.

    Args:
        silent: give none, in a trial before the run.
    """

    def __init__(self, silent: bool):
        self.silent = silent
        self._causes: set[str] = set()

    def once(self, cause: str, line: str, *values: Any) -> None:
        if not self.silent and cause not in self._causes:
            self._causes.add(cause)
            log.warning(line, *values)


@dataclass
class StackSetup:
    """The objects of a worker that every step of a stack uses."""

    host: ModuleHost
    plan: StackPlan
    compile: str | None  # the option `trainer.compile`
    notices: Notices
    traces: dict[Any, Any] = field(default_factory=dict)  # by shape of a batch (see `stacked_pass.TracedPass`)
