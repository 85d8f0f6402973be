"""A sweep that is ready to start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from fedlit.errors import InputError
from fedlit.settings.hydra_compat import Application, Ended
from fedlit.settings.hydra_reasons import reason
from fedlit.sweeps.launch import launch
from fedlit.sweeps.plan import Plan


@dataclass(frozen=True)
class Sweep:
    """The runs of one command line with --multirun.

    Attributes:
        application: Hydra's.
        config_name: the primary configuration.
        overrides: the words of the sweep, with its folder.
        folder: of the sweep, absolute.
        plan: its jobs.
    """

    application: Application
    config_name: str
    overrides: list[str]
    folder: Path
    plan: Plan

    def run(self, job: Callable[[DictConfig], Ended]) -> list[Ended]:
        """Run the jobs that are not finished; how those ended that were launched."""
        try:
            return self.application.sweep(self.config_name, self.overrides, job, self.plan.batches(), launch)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(reason(error)) from error
