"""The values of `uplink`, `logger` and `reduction`: classes named by `_target_`, stages and loggers by name as well.
And that of `targets`: a value for each metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedlit.metric_names import global_metric
from fedlit.settings.closest import normalised
from fedlit.settings.known_names import known_name
from fedlit.settings.logger_parts import check_loggers
from fedlit.settings.misfit import WrongValue
from fedlit.settings.overrides import as_written, for_shell


def check_parts(key: str, value: Any) -> None:
    """Refuse a stage, a logger or a reduction that names no class, and a target without a metric; other keys pass."""
    if key == "uplink":
        _check_uplink(value)
    elif key == "logger":
        check_loggers(value)
    elif key == "reduction":
        _check_reduction(value)
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


def _check_uplink(value: Any) -> None:
    if not isinstance(value, Mapping):
        names = value if isinstance(value, list | tuple) else [value]
        raise WrongValue("uplink", f"uplink={as_written(value)}: uplink has a class under each name; {_stage(names)}")
    for name, stage in value.items():
        if name == "_target_":
            short = normalised(str(stage).rpartition(".")[2]) or "mine"
            raise WrongValue(
                "uplink",
                f"uplink._target_={as_written(stage)}: a stage has a name; write for example "
                f"uplink.{short}._target_={as_written(stage)}.",
            )
        if not isinstance(stage, Mapping) or "_target_" not in stage:
            shown = stage if not isinstance(stage, Mapping) else dict(stage)
            raise WrongValue("uplink", f"uplink.{name}={as_written(shown)}: this names no class; {_stage([name])}")


def _stage(names: Any) -> str:
    """The advice for stages that were asked for by name."""
    for name in names:
        if isinstance(name, str) and (advice := known_name("uplink", name, "uplink")):
            return advice
    words = [name for name in names if isinstance(name, str) and name.isidentifier()]
    name = words[0] if words else "mine"
    nothing = "" if words else "uplink={} for no stage, or "
    return f"write {nothing}uplink.{name}._target_=mine.{name.title().replace('_', '')} for a class of your own."


def _check_reduction(value: Any) -> None:
    if value is None or (isinstance(value, Mapping) and "_target_" in value):
        return
    asked = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    written = f"reduction={as_written(value)}: this names no class"
    if isinstance(asked, str) and (advice := known_name("reduction", asked, "reduction")):
        raise WrongValue("reduction", f"{written}; {advice}")
    target = asked if isinstance(asked, str) and "." in asked else "mine.Reduction"
    raise WrongValue(
        "reduction",
        f"{written}; write reduction=null for the mean (or for all messages, if the algorithm needs them), or "
        f"reduction._target_={target} for a class of your own.",
    )
