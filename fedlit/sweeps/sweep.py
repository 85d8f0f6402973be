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
from fedlit.sweeps.objective import Objective
from fedlit.sweeps.plan import Plan
from fedlit.sweeps.sweep_record import SweepRecord
from fedlit.working_folder import in_folder


@dataclass(frozen=True)
class Sweep:
    """The runs of one command line with --multirun.

    Attributes:
        application: Hydra's.
        config_name: the primary configuration.
        overrides: the words of the sweep, with its folder.
        folder: of the sweep, absolute.
        began_in: the folder from which relative paths are meant; that of the command, but in a resumed sweep.
        plan: its jobs.
        objective: what a sweeper optimises that chooses its jobs by results.
        earlier: the record of the study that goes on.
    """

    application: Application
    config_name: str
    overrides: list[str]
    folder: Path
    began_in: Path
    plan: Plan
    objective: Objective | None = None
    earlier: SweepRecord | None = None

    def run(self, job: Callable[[DictConfig], Ended], write: Callable[[str], None]) -> list[Ended]:
        """Run the jobs that are not finished; how those ended that were launched.

        Args:
            job: runs one of them.
            write: takes the line with the best run, where the sweeper chooses by results.
        """
        from fedlit.sweeps.launch import launch  # a single run does not wait for the imports of launchers

        try:
            with in_folder(self.began_in):
                if self.plan.jobs is None:
                    return self._study(job, write)
                return self.application.sweep(self.config_name, self.overrides, job, self.plan.batches(), launch)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(reason(error)) from error

    def _study(self, job: Callable[[DictConfig], Ended], write: Callable[[str], None]) -> list[Ended]:
        from fedlit.sweeps.launch import launch
        from fedlit.sweeps.optuna_log import no_optuna_log
        from fedlit.sweeps.study import Study

        assert self.objective is not None
        study = Study(
            self.application,
            self.config_name,
            self.overrides,
            self.folder,
            list(self.plan.values),
            self.objective,
            launch,
        )
        try:
            with no_optuna_log():
                self.application.sweep(self.config_name, self.overrides, job, None, study.launch)
        except (InputError, HydraException, OmegaConfBaseException):
            if self.earlier is not None:  # these words are refused, and those of the study go on
                self.earlier.write(self.folder)
            raise
        except ValueError as error:
            if "No trials are completed" not in str(error):  # Optuna wants a best run; here, none has a result
                raise
        line = study.best()
        if line is not None:
            write(line)
        return study.ended
