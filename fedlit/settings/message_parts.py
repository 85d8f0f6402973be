"""The values of `uplink`, `downlink` and `logger`: classes by name. And that of `targets`: a value for each metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedlit.metric_names import global_metric
from fedlit.settings.logger_parts import check_loggers
from fedlit.settings.misfit import WrongValue
from fedlit.settings.option_names import STAGES
from fedlit.settings.overrides import for_shell
from fedlit.settings.stage_parts import check_stages
from fedlit.written_values import as_written


def check_parts(key: str, value: Any) -> None:
    """Refuse a stage or a logger that names no class, and a target without a metric; other keys pass."""
    if key in STAGES:
        check_stages(key, value)
    elif key == "logger":
        check_loggers(value)
    elif key == "targets":
        _check_targets(value)


def _check_targets(value: Any) -> None:
    if isinstance(value, Mapping):
        return
    metric = value if isinstance(value, str) and "/" in value else global_metric("test", "accuracy")
    is_number = isinstance(value, int | float | list | tuple) and not isinstance(value, bool) and value != []
    written = f"targets={{{metric}:{as_written(value) if is_number else 0.8}}}"
    raise WrongValue(
        "targets",
        f"targets={as_written(value)}: a target has a metric and a value; write for example {for_shell(written)}.",
    )
