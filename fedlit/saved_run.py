"""What a run has written, read from its folder without torch: a run that is finished, has failed, or still goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedlit.errors import InputError
from fedlit.metric_names import Row
from fedlit.round_lines import Lines, read_lines
from fedlit.run_folder import FORMAT, checkpoint_folders, format_of, holds_run, is_sweep
from fedlit.settings.saved import CONFIG, OVERRIDES
from fedlit.sweeps.sweep_record import readable_record

_METRICS, _CLIENTS, _SUMMARY, _FAILURE = "metrics.jsonl", "clients.jsonl", "summary.json", "failure.txt"


class SavedRun:
    """A run folder. Each property is read at its first use and kept; for a run that goes on, make another `SavedRun`.

    Args:
        folder: the run folder.

    Raises:
        InputError: this is no run folder, or it has another format.

    Example:
        >>> run = SavedRun("outputs/2026-01-31/12-00-00")  # doctest: +SKIP
        >>> run.frame["global/test/accuracy"].plot()  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        if not _is_run(self.folder):
            raise InputError(f"{folder}: {_why_no_run(self.folder)}.")
        if format_of(self.folder) != FORMAT:
            raise InputError(
                f"{folder}: this run folder has format {format_of(self.folder)}, and this fedlit reads format "
                f"{FORMAT}; read it with the version of fedlit that wrote it, or start the run again in a new folder."
            )

    def __repr__(self) -> str:
        return f"SavedRun({str(self.folder)!r})"

    @property
    def name(self) -> str:
        """The run's name: `name=`, or else that of its folder, which in a sweep says what was varied."""
        name = OmegaConf.select(self.config, "name")
        return self.folder.resolve().name if name is None else str(name)

    @property
    def config(self) -> DictConfig:
        """The configuration, not resolved: that of the newest checkpoint, since a resumed run may change some values.

        Raises:
            InputError: none can be read.
        """
        return self._settings[0]

    @property
    def overrides(self) -> list[str]:
        """The words of the command line that `config` was composed of."""
        return self._settings[1]

    @cached_property
    def rows(self) -> list[Row]:
        """The metrics of each round, with its "round". NaN where a value was not finite; empty before round 1."""
        return [
            {name: math.nan if value is None else value for name, value in record.items()}
            for record in self._metric_lines.records
        ]

    def measured(self, metric: str, at_round: int | None = None) -> tuple[int, float] | None:
        """(round, value) of a metric in a round, or in the last one that has measured it: a run that stops may end in
        a round without an evaluation. None if it was not measured."""
        rows = [row for row in self.rows if metric in row and at_round in (None, row["round"])]
        return (int(rows[-1]["round"]), float(rows[-1][metric])) if rows else None

    @property
    def unread_lines(self) -> int:
        """The number of lines of `metrics.jsonl` and `clients.jsonl` that cannot be read: a kill cut them off."""
        return self._metric_lines.unread + self._client_lines.unread

    @cached_property
    def frame(self) -> Any:
        """`rows` as a pandas.DataFrame: a row for each round, the index; a column for each metric."""
        import pandas as pd  # takes half a second, and not every reader needs it

        frame = pd.DataFrame.from_records(self.rows)
        return frame.set_index("round") if len(frame) else pd.DataFrame(index=pd.Index([], name="round"))

    @cached_property
    def clients(self) -> Any:
        """`clients.jsonl` as a pandas.DataFrame by round and client; None if the run wrote no such file.

        A mapping within a line becomes columns `a/b`; a list, such as the local epochs, stays a list.
        """
        import pandas as pd

        if not (self.folder / _CLIENTS).exists():
            return None
        frame = pd.json_normalize(self._client_lines.records, sep="/")
        keys = ["round", "client"]
        return (
            frame.set_index(keys) if len(frame) else pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=keys))
        )

    @cached_property
    def summary(self) -> dict[str, Any] | None:
        """The results of the run; None if none were written, or the file cannot be read."""
        try:
            summary = json.loads((self.folder / _SUMMARY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return summary if isinstance(summary, dict) else None

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: its last round, or a reason to stop before it."""
        if self.summary is None or self.failure is not None:
            return False
        done = self.summary.get("rounds", 0)
        if self.rows and self.rows[-1]["round"] > done:
            return False  # a summary of before the run was resumed with more rounds
        return bool(self.summary.get("stopped")) or done >= int(self.config.rounds)

    @cached_property
    def failure(self) -> str | None:
        """Why the run ended with an error, one sentence; None if it did not."""
        try:
            return (self.folder / _FAILURE).read_text(encoding="utf-8").strip() or None
        except OSError:
            return None

    @cached_property
    def _settings(self) -> tuple[DictConfig, list[str]]:
        newest_first = [path for _, path in checkpoint_folders(self.folder / "checkpoints")]
        for place in [*newest_first, self.folder / ".hydra"]:
            try:
                config = OmegaConf.load(place / CONFIG)
                words = yaml.safe_load((place / OVERRIDES).read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException):
                continue
            if isinstance(config, DictConfig) and "rounds" in config and isinstance(words, list):
                return config, [str(word) for word in words]
        raise InputError(
            f"{self.folder}: the configuration of this run cannot be read; start it again in a new folder."
        )

    @cached_property
    def _metric_lines(self) -> Lines:
        return _lines(self.folder / _METRICS)

    @cached_property
    def _client_lines(self) -> Lines:
        return _lines(self.folder / _CLIENTS)


def runs_in(folder: str | Path) -> list[SavedRun]:
    """The run of a run folder, or those of a sweep's folder that have begun, in the sweep's order.

    Raises:
        InputError: this is the folder of neither, or a run in it has another format.
    """
    path = Path(folder).expanduser()
    if is_sweep(path):
        return [SavedRun(inner) for inner in _job_folders(path)]
    return [SavedRun(path)]


def _job_folders(sweep: Path) -> Iterator[Path]:
    """The runs of a sweep: those that its record names first, then any others in it by name."""
    record = readable_record(sweep)
    named = [sweep / job.folder for job in (record and record.jobs) or ()]
    inner = sorted((path.parent for path in sweep.rglob(".hydra")), key=_natural)
    for path in dict.fromkeys([*named, *inner]):
        if _is_run(path):
            yield path


def _natural(path: Path) -> tuple[int, int, str]:
    """Folders 2 and 10 in the order of their numbers, before those with names."""
    return (0, int(path.name), "") if path.name.isdecimal() else (1, 0, str(path))


def _lines(file: Path) -> Lines:
    return read_lines(file) if file.exists() else Lines([], 0)


def _is_run(folder: Path) -> bool:
    return (folder / ".hydra" / CONFIG).exists() or bool(checkpoint_folders(folder / "checkpoints"))


def _why_no_run(folder: Path) -> str:
    if not folder.exists():
        return "there is no such folder; give the folder of a run, outputs/<date>/<time>"
    if not folder.is_dir():
        return f"this is a file; give the folder of its run, {folder.parent}"
    if is_sweep(folder):
        return "this is the folder of a sweep; give the folder of one of its runs"
    above = next((parent for parent in folder.absolute().parents if _is_run(parent)), None)
    if above is not None:
        return f"this is a folder in a run; give the folder of the run, {above}"
    inner = sorted((path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/.hydra")), key=_natural)
    if inner:
        newest = inner[-1].parent if is_sweep(inner[-1].parent) else inner[-1]
        return f"this is no folder of a fedlit run; give one of those in it, such as {newest}"
    if holds_run(folder):
        return "this run was stopped before it had written its configuration; start it again in a new folder"
    return "this is no folder of a fedlit run; give the folder of a run, outputs/<date>/<time>"
