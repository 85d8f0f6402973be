"""MLflow, through Lightning's logger. Its package is imported when a run starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock

from fedlit.errors import InputError, one_line
from fedlit.settings.saved import began_in
from fedlit.tracking.logger import About, Row
from fedlit.tracking.service import COMPLETE, NOTHING, STOPPED, Service, sweep_name

_STATUS = {COMPLETE: "FINISHED", STOPPED: "KILLED"}


class Mlflow(Service):
    """A run of MLflow: every number by round, and the configuration as parameters."""

    key = "mlflow"

    def __init__(
        self,
        experiment: str = "fedlit",
        tracking_uri: str | None = None,
        tags: Mapping[str, Any] = NOTHING,
    ):
        """
        Args:
            experiment: of MLflow, which has the runs.
            tracking_uri: of a server or of a database; None is MLFLOW_TRACKING_URI, or mlflow.db in the
                folder in which the run began.
            tags: further tags of the run.
        """
        super().__init__()
        self.experiment, self.tracking_uri, self.tags = experiment, tracking_uri, dict(tags)

    def open(self, about: About, known: str | None) -> Mapping[str, int]:
        from lightning.pytorch.loggers import MLFlowLogger
        from mlflow.exceptions import MlflowException

        began = began_in(about.folder, resumed=known is not None).absolute()
        uri = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{began / 'mlflow.db'}"
        tags = {"run_folder": str(about.folder), **self.tags}
        if sweep := sweep_name(about.folder):
            tags.setdefault("sweep", sweep)
        self._logger: Any
        try:
            with _alone_with(uri):
                self._logger = MLFlowLogger(self.experiment, about.name, uri, tags, run_id=known)
                run_id = str(self._logger.run_id)
        except (MlflowException, ImportError) as error:  # mlflow-skinny has no databases
            raise InputError(
                f"logger=mlflow cannot use {uri} ({one_line(error)}); write logger.mlflow.tracking_uri=<address>, such "
                "as sqlite:///mlflow.db or that of a server."
            ) from error
        self.note(run_id)
        client = self._logger.experiment
        run = client.get_run(run_id)
        if not run.data.params:
            self._logger.log_hyperparams({**about.config, "name": about.name})
        client.update_run(run_id, status="RUNNING")
        names = run.data.metrics
        return {name: max(point.step for point in client.get_metric_history(run_id, name)) for name in names}

    def send(self, number: int, row: Row) -> None:
        self._logger.log_metrics({"round": number, **row}, number)

    def end(self, how: str) -> None:
        self._logger.experiment.set_terminated(self._logger.run_id, _STATUS.get(how, "FAILED"))


def _alone_with(uri: str) -> AbstractContextManager[Any]:
    """A lock on a database in a file: two runs of a sweep that make its tables or an experiment at once would fail."""
    path = uri.removeprefix("sqlite:///")
    return FileLock(f"{path}.lock") if path != uri and Path(path).parent.is_dir() else nullcontext()
