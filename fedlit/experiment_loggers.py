"""The loggers of a run: the files that every run writes, those of `logger=`, and the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from fedlit.settings.classes import build
from fedlit.tracking import Logger, Loggers, MetricsFile
from fedlit.tracking.clients_file import ClientsFile
from fedlit.tracking.figures import Figures
from fedlit.tracking.guarded import Guarded
from fedlit.tracking.log_lines import LogLines
from fedlit.tracking.progress import progress


def chosen_loggers(config: DictConfig) -> list[Logger]:
    """The loggers of `logger=`. They are built before the data are read: a wrong argument costs no time."""
    return [Guarded(str(name), build(settings, f"logger.{name}")) for name, settings in config.logger.items()]


def all_loggers(
    config: DictConfig, writes_clients: bool, chosen: list[Logger], shown: str | None, last: Sequence[Logger] = ()
) -> Loggers:
    """The chosen loggers, after the files that they may read, and before the terminal's.

    Args:
        writes_clients: clients have lines of their own, in clients.jsonl.
        shown: `progress` in place of the configuration's.
        last: further ones, after the terminal's.
    """
    files: list[Logger] = [MetricsFile(), *([ClientsFile()] if writes_clients else [])]
    return Loggers([*files, *chosen, Figures(), LogLines(), progress(shown or config.progress), *last])
