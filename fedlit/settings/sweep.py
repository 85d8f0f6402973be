"""The folders of a sweep's runs, known before the first run starts: each run has its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from fedlit.errors import InputError
from fedlit.run_folder import blocks
from fedlit.settings.hydra_compat import Application, Ended, Planned
from fedlit.settings.hydra_reasons import reason

_REMEDY = "write hydra.sweep.subdir='${hydra.job.num}'"


@dataclass(frozen=True)
class Sweep:
    """The runs of one command line with --multirun."""

    application: Application
    config_name: str
    overrides: list[str]

    def check_folders(self) -> None:
        """InputError if two runs would have one folder, or one a folder that holds a run."""
        try:
            jobs = list(self.application.planned(self.config_name, self.overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(reason(error)) from error
        earlier: dict[str, Planned] = {}
        for job in jobs:
            path = os.path.abspath(job.folder)
            if path in earlier:
                raise InputError(_shared(job.folder, earlier[path].overrides, job.overrides))
            earlier[path] = job
            _check_length(job)
            if blocks(job.folder):
                raise InputError(
                    f"hydra.sweep.dir: {job.folder}, the folder of a run of this sweep, holds a run already; write "
                    "hydra.sweep.dir=<another folder>."
                )

    def run(self, job: Callable[[DictConfig], Ended]) -> list[Ended]:
        """Run a job for each combination of values."""
        try:
            return self.application.sweep(self.config_name, self.overrides, job)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(reason(error)) from error


def _shared(folder: Path, first: Sequence[str], second: Sequence[str]) -> str:
    if list(first) == list(second):
        return (
            f"hydra.sweep.subdir: the sweep has the run {_words(first)} twice, and both would have the folder "
            f"{folder}; leave out the value that is written twice, or {_REMEDY}."
        )
    different = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    shown = [_words([word for pair in different if (word := pair[side])]) for side in (0, 1)]
    return (
        f"hydra.sweep.subdir: the runs {shown[0]} and {shown[1]} of this sweep would have the same folder, {folder}; "
        f"name each swept key in it, or {_REMEDY}."
    )


def _check_length(job: Planned) -> None:
    """InputError where a name is longer than a file system takes, such as that of many overrides."""
    for name in job.folder.parts:
        if len(os.fsencode(name)) > 255:
            raise InputError(
                f"hydra.sweep.subdir: {name[:60]}..., the folder of a run of this sweep, has {len(os.fsencode(name))} "
                f"bytes, and a name may have 255; {_REMEDY}."
            )


def _words(overrides: Sequence[str]) -> str:
    return f"`{' '.join(overrides)}`"
