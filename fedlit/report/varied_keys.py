"""What was varied between runs: the record of a sweep names the keys, or they are the keys whose values differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedlit.saved_run import SavedRun
from fedlit.settings.no_result import changes_no_result
from fedlit.settings.option_names import STAGES, as_list
from fedlit.settings.protocols import DEFAULT, PROTOCOL
from fedlit.sweeps.sweep_record import readable_record

ABSENT = "-"
"""The value of a key in a run whose configuration lacks it, such as `aggregator.mu` of FedAvg."""


class Setup:
    """The settings of one run, read once."""

    def __init__(self, run: SavedRun):
        self._run = run

    @cached_property
    def seed(self) -> int:
        return int(self._run.config.seed)

    @cached_property
    def values(self) -> dict[str, Any]:
        """Dotted key -> value of all that distinguishes a run, except its seed."""
        config = self._run.config
        try:
            content = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException:  # an interpolation of a package that is not installed now
            content = OmegaConf.to_container(config, resolve=False)
        return {key: value for key, value in _flat_items(content, "") if not _is_ignored(key)}

    @cached_property
    def written(self) -> dict[str, str]:
        """Key -> value of the run's command line, such as {"aggregator": "scaffold"}."""
        pairs = (word.partition("=") for word in self._run.overrides if "=" in word)
        return {_plain_key(key): value for key, _, value in pairs}

    def part(self, parts: Sequence[str]) -> dict[str, str]:
        """The values, as text, of the keys of these parts of the configuration."""
        return {key: _text(value) for key, value in self.values.items() if key.split(".")[0] in parts}

    def value(self, key: str) -> str:
        """The value of a key as text: a group's option as it was written or chosen, else the configuration's value."""
        if key not in self._texts:
            self._texts[key] = self._value(key)
        return self._texts[key]

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {}

    def _value(self, key: str) -> str:
        if key in STAGES:  # in the order of the configuration, also where stages are a user's own or set by a preset
            return as_list(key, list(OmegaConf.select(self._run.config, key, default=None) or {}))
        if key in self.values and not isinstance(self.values[key], dict):
            return _text(self.values[key])
        option = self.written.get(key, self._choices.get(key))
        if option is not None:
            return option
        if key == PROTOCOL:
            return DEFAULT  # a run from before there were others
        node = OmegaConf.select(self._run.config, key, default=None, throw_on_resolution_failure=False)
        return ABSENT if node is None else _text(node)

    @cached_property
    def _choices(self) -> dict[str, str]:
        """The option of each group that Hydra noted at the run's start."""
        try:
            content = yaml.safe_load((self._run.folder / ".hydra" / "hydra.yaml").read_text(encoding="utf-8"))
            choices = content["hydra"]["runtime"]["choices"]
            return {key: str(value) for key, value in choices.items() if value is not None}
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
            return {}


def swept_values(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Key -> its values as they were written, by the records of sweeps, in their order; empty without a record."""
    values: dict[str, dict[str, None]] = {}
    for folder in folders:
        record = readable_record(folder)
        for key, of_key in ({} if record is None else record.swept).items():
            values.setdefault(_plain_key(key), {}).update(dict.fromkeys(of_key))
    return {key: list(of_key) for key, of_key in values.items() if key != "seed"}


def varied_keys(setups: Sequence[Setup], first: Sequence[str] = ()) -> list[str]:
    """The keys that tell runs with different settings apart: those of `first`, those that were written with different
    values, and others only where these leave two different runs with the same values.

    Args:
        setups: of the runs.
        first: keys that come first, such as those of a sweep's record.
    """
    keys = [*first]
    for key in dict.fromkeys(key for setup in setups for key in setup.written):
        if key not in keys and not _is_ignored(key) and len({setup.value(key) for setup in setups}) > 1:
            keys.append(key)
    for key in dict.fromkeys(key for setup in setups for key in setup.values):
        values_by_label: dict[tuple[str, ...], set[str]] = {}
        for setup in setups:
            label = tuple(setup.value(known) for known in keys)
            values_by_label.setdefault(label, set()).add(_text(setup.values.get(key, ABSENT)))
        if any(len(values) > 1 for values in values_by_label.values()):
            keys.append(key)
    return keys


def other_differences(setups: Sequence[Setup], keys: Sequence[str]) -> list[str]:
    """The settings in which runs differ that neither are varied keys nor belong to a varied group."""
    names = dict.fromkeys(key for setup in setups for key in setup.values)
    covered = [name for name in names if any(f"{name}.".startswith(f"{key}.") for key in keys)]
    return [
        name
        for name in names
        if name not in covered and len({_text(setup.values.get(name, ABSENT)) for setup in setups}) > 1
    ]


def _plain_key(key: str) -> str:
    return key.lstrip("+~")


def _is_ignored(key: str) -> bool:
    """The seed, over which the mean is taken, and what changes no number of a run."""
    return key == "seed" or changes_no_result(key)


def _flat_items(node: Any, key: str) -> list[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        return [pair for name, value in node.items() for pair in _flat_items(value, f"{key}.{name}" if key else name)]
    return [(key, node)]


def _text(value: Any) -> str:
    """A float without needless digits, so that 1 and 1.0 are the same text, and two different values never are."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
