"""The value of `logger`: a mapping of names, each with a class; and the packages that shipped loggers need."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from fedlit.settings.closest import normalised
from fedlit.settings.misfit import WrongValue
from fedlit.written_values import as_written

EXTRAS = {
    "fedlit.tracking.wandb_run.Wandb": "wandb",
    "fedlit.tracking.mlflow_run.Mlflow": "mlflow",
    "fedlit.tracking.trackio_run.Trackio": "trackio",
}
"""Class -> the package that it needs, which is an extra of the same name."""


def check_loggers(value: Any) -> None:
    """Refuse a logger without a name or a class, and one whose package is not installed."""
    if not isinstance(value, Mapping):
        raise WrongValue(
            "logger",
            f"logger={as_written(value)}: a logger has a name and a class; write logger=none for no logger, or "
            "logger.mine._target_=mine.MyLogger.",
        )
    if "_target_" in value:
        target = str(value["_target_"])
        name = normalised(target.rpartition(".")[2]) or "mine"
        raise WrongValue(
            "logger",
            f"logger._target_={target}: a logger has a name, because there may be several; write "
            f"logger.{name}._target_={target}, with logger=none if it is the only one.",
        )
    for name, settings in value.items():
        _check_logger(str(name), settings, value)


def _check_logger(name: str, settings: Any, loggers: Mapping[Any, Any]) -> None:
    if not isinstance(settings, Mapping):
        having = [other for other, node in loggers.items() if isinstance(node, Mapping) and name in node]
        meant = f"logger.{having[0]}.{name}=<value>" if having else "logger.mine._target_=mine.MyLogger"
        raise WrongValue(
            "logger",
            f"logger.{name}={as_written(settings)}: a logger has a name and a class; write for example {meant}.",
        )
    if "_target_" not in settings:
        raise WrongValue(
            "logger",
            f"logger.{name}: this logger is not chosen and has no class; write logger=[tensorboard,{name}] for an "
            f"option of that name, or logger.{name}._target_=mine.MyLogger.",
        )
    package = EXTRAS.get(str(settings["_target_"]))
    if package is not None and find_spec(package) is None:
        raise WrongValue(
            "logger",
            f"logger={name}: {package} is not installed; write pip install 'fedlit[{package}]', or leave it out.",
        )
