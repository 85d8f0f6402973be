"""Weights & Biases. Its package is imported when a run starts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlit.errors import InputError, one_line
from fedlit.tracking.logger import About, Row
from fedlit.tracking.service import COMPLETE, NOTHING, Service, checked_options, corrections, new_id, sweep_name
from fedlit.tracking.wandb_file import rounds_written

_LONGEST_WAIT = 10.0  # seconds


class Wandb(Service):
    """A run of Weights & Biases: every number by round, and the whole configuration.

    The step is the round. Lightning's WandbLogger is not used, because its rows have no step: the rounds that come
    again after a resume would be in the run twice.
    """

    key = "wandb"

    def __init__(
        self,
        project: str = "fedlit",
        mode: str | None = None,
        group: str | None = None,
        options: Mapping[str, Any] = NOTHING,
    ):
        """
        Args:
            project: of the run.
            mode: "online" or "offline"; None is WANDB_MODE, or online.
            group: of the run; None is the sweep that it belongs to, if any.
            options: further arguments of `wandb.init`, such as {"entity": "my-team"}.

        Raises:
            InputError: the options have an argument that a run sets itself.
        """
        super().__init__()
        self._sent = 0  # the newest round
        self.project, self.mode, self.group = project, mode, group
        self.options = checked_options(self.key, options, ("id", "name", "resume", "reinit"))

    def open(self, about: About, known: str | None) -> int:
        import wandb

        run_id = known or new_id()
        self.note(run_id)
        arguments: dict[str, Any] = {
            "project": self.project,
            "mode": self.mode,
            "group": self.group or sweep_name(about.folder),
            "name": about.name,
            "id": run_id,
            "dir": str(about.folder),
            "resume": "allow",
            "reinit": "create_new",  # a run that the caller's own code has begun goes on
            "settings": wandb.Settings(console="off", quiet=True),  # run.log has the output
            **self.options,
        }
        try:
            self._run = wandb.init(**arguments)
        except (wandb.errors.Error, TypeError, ValueError) as error:  # its Settings raise a ValueError
            needs_login = isinstance(error, wandb.errors.CommError) or "wandb login" in str(error)
            advice = (
                "run wandb login, or write logger.wandb.mode=offline"
                if needs_login
                else corrections(self.key, self.project, self.options)
            )
            raise InputError(f"logger=wandb cannot start ({one_line(error)}); {advice}.") from error
        self._run.config.update({**about.config, "run_folder": str(about.folder)}, allow_val_change=True)
        self._run.define_metric("*", step_metric="round")
        return self._rounds_written() if self._run.offline else max(0, int(self._run.starting_step) - 1)

    def send(self, number: int, row: Row) -> None:
        self._run.log({"round": number, **row}, step=number, commit=True)
        self._sent = number

    def end(self, how: str) -> None:
        self._run.finish(exit_code=0 if how == COMPLETE else 1)
        if self._run.offline:
            self._wait_for_file()

    def _rounds_written(self) -> int:
        return rounds_written(Path(self._run.settings.wandb_dir), self._run.id)

    def _wait_for_file(self) -> None:
        """`finish` returns while another process still writes the file, from which a resume reads the newest round."""
        waited_until = time.monotonic() + _LONGEST_WAIT
        while self._rounds_written() < self._sent and time.monotonic() < waited_until:
            time.sleep(0.05)
