"""Whether a saved run is that of a job: by its configuration, not by the name of its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from fedlit.settings.resume import MAY_CHANGE
from fedlit.settings.table import keys_of
from fedlit.written_values import as_written

_FREE = (*MAY_CHANGE, "name")
FIXED_IN_STUDY = ("rounds", "stop")
"""Of what a resumed run may change, the parts on which its result rests, and therefore the choices of a sweeper."""
_ABSENT = "(absent)"
_END = ("rounds", "stop")  # what a run that goes on may change, and which changes its results


class Identity:
    """What tells the runs of a sweep apart, and a run of this sweep from one of another.

    That is the whole configuration, without `resume` and without the parts that a resumed run may change, and `name`,
    where all jobs of the sweep have the same.

    Args:
        configs: of the jobs.
        fixed: parts that count although a resumed run may change them.
    """

    def __init__(self, configs: Sequence[DictConfig], fixed: Sequence[str] = ()):
        all_keys = [keys_of(config) for config in configs]
        free = [part for part in _FREE if part not in fixed]
        self._left_out = [part for part in free if len({_text(keys.get(part)) for keys in all_keys}) <= 1]

    def key(self, config: DictConfig) -> str:
        """A text that is the same for two configurations of the same run."""
        return _text(self._content(config))

    def differences(self, first: DictConfig, second: DictConfig) -> list[str]:
        """Such as `clients: 10 -> 20`, for each key in which two configurations are of different runs."""
        return _differences(self._content(first), self._content(second))

    @staticmethod
    def end_differences(first: DictConfig, second: DictConfig) -> list[str]:
        """Such as `rounds: 10 -> 20` and `stop.patience: null -> 5`: where two runs may end at different rounds."""
        old, new = (
            {k: v for k, v in keys_of(config).items() if not isinstance(v, dict) and k.partition(".")[0] in _END}
            for config in (first, second)
        )
        return _differences(old, new)

    def _content(self, config: DictConfig) -> dict[str, Any]:
        return {
            key: value
            for key, value in keys_of(config).items()
            if not isinstance(value, dict)
            and not any(f"{key}.".startswith(f"{part}.") for part in (*self._left_out, "resume"))
        }


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [
        f"{key}: {as_written(old.get(key, _ABSENT))} -> {as_written(new.get(key, _ABSENT))}"
        for key in dict.fromkeys([*old, *new])
        if _text(old.get(key, _ABSENT)) != _text(new.get(key, _ABSENT))
    ]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
