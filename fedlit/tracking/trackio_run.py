"""Trackio. Its package is imported when a run starts."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from fedlit.errors import InputError, not_written, one_line
from fedlit.tracking.logger import About, Row
from fedlit.tracking.service import NOTHING, Service, checked_options, corrections, new_id, sweep_name


class Trackio(Service):
    """A run of Trackio: every number by round, and the whole configuration."""

    key = "trackio"

    def __init__(self, project: str = "fedlit", group: str | None = None, options: Mapping[str, Any] = NOTHING):
        """
        Args:
            project: of the run.
            group: of the run; None is the sweep that it belongs to, if any.
            options: further arguments of `trackio.init`, such as {"space_id": "me/runs"}.

        Raises:
            InputError: the options have an argument that a run sets itself.
        """
        super().__init__()
        self.project, self.group = project, group
        self.options = checked_options(self.key, options, ("name", "resume"))

    def open(self, about: About, known: str | None) -> int:
        import trackio

        # Trackio finds a run by its name, so a name has to be that of one run only
        name = known or f"{about.name} {new_id()[:4]}"
        self.note(name)
        arguments: dict[str, Any] = {
            "project": self.project,
            "name": name,
            "group": self.group or sweep_name(about.folder),
            "config": {**about.config, "run_folder": str(about.folder)},
            "resume": "allow",
            "embed": False,
            "auto_log_gpu": False,
            "auto_log_cpu": False,
            **self.options,
        }
        with redirect_stdout(io.StringIO()):  # the terminal is that of `progress`
            self._run = self._begun(trackio.init, arguments)
        return int(self._run._initial_last_step or 0)  # no public function asks a remote store as well

    def _begun(self, init: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        try:
            return init(**arguments)
        except Exception as error:  # of this package, of the one that it reaches a server by, or of SQLite
            if not_written(error) is not None:
                raise
            advice = corrections(self.key, self.project, self.options)
            raise InputError(f"logger=trackio cannot start ({one_line(error)}); {advice}.") from error

    def send(self, number: int, row: Row) -> None:
        self._run.log(row, step=number)

    def end(self, how: str) -> None:
        import trackio

        with redirect_stdout(io.StringIO()):
            trackio.finish()
