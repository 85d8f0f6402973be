"""Values compared with the table of ranges: those of overrides, and those of a composed configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedlit.errors import InputError
from fedlit.settings.closest import slips
from fedlit.settings.comments import LOADER, Entry
from fedlit.settings.compose import Composed
from fedlit.settings.known_keys import OTHER_VALUES
from fedlit.settings.message_parts import check_parts
from fedlit.settings.misfit import WrongValue
from fedlit.settings.option_names import LISTS
from fedlit.settings.overrides import for_shell, key_of, leaves, values
from fedlit.settings.table import Table
from fedlit.written_values import as_written


def check_override(override: Override, rules: Table) -> None:
    """Refuse a value out of range, in each choice of a sweep. Interpolations wait for the composed configuration."""
    if override.is_delete():
        return
    key = key_of(override)
    for value in values(override):
        is_part = key in LISTS and isinstance(value, dict) and value  # of a mapping that is checked as a whole later
        to_check = [(key, value)] if key in rules.rules and not is_part else leaves(key, value)
        for leaf, inner in to_check:
            if leaf in rules.rules and not (isinstance(inner, str) and "${" in inner):
                check_value(leaf, inner, rules.rules[leaf])


def check_composed(composed: Composed) -> None:
    """Refuse the first value of a configuration that is out of range, or missing (`???`)."""
    rules = composed.table
    for key, rule in rules.rules.items():
        value = _value(composed.config, key, rule)
        if value is not _ABSENT:
            check_value(key, value, rule, rules.preset.get(key, ""))


def check_value(key: str, value: Any, rule: Entry, source: str = "") -> None:
    """InputError if the comment of `key` does not allow `value`; `source` names the file that set it."""
    check_parts(key, value)
    if rule.allowed is None or rule.allowed.accepts(value):
        return
    written = as_written(value) or "''"
    where = f" (set by {source})" if source else ""
    if isinstance(value, str) and any(rule.allowed.accepts(number) for number in _numbers(value)):
        raise WrongValue(
            key,
            f"{key}='{value}'{where}: this is a text, and {key} ({rule.meaning}) has to be {rule.allowed.describe()}; "
            f"write it without quotes, or ${{oc.decode:${{oc.env:NAME}}}} for a variable of the environment.",
        )
    raise WrongValue(
        key,
        f"{key}={written}{where}: {key} ({rule.meaning}) has to be {rule.allowed.describe()}; "
        f"write for example {for_shell(f'{key}={_example(value, rule)}')}.",
    )


_ABSENT = object()


def _value(config: DictConfig, key: str, rule: Entry) -> Any:
    above, _, name = key.rpartition(".")
    try:
        node = OmegaConf.select(config, above) if above else config
        if not isinstance(node, DictConfig):
            return _ABSENT
        if OmegaConf.is_missing(node, name):
            allowed = rule.allowed.describe() if rule.allowed else "a value"
            raise InputError(f"{key} is missing: it is needed ({rule.meaning}), {allowed}; write {key}=<value>.")
        if name not in node:
            return _ABSENT
        value = node[name]
        return OmegaConf.to_container(value, resolve=True) if isinstance(value, DictConfig | ListConfig) else value
    except OmegaConfBaseException as error:
        if "HydraConfig was not set" in str(error):
            raise InputError(
                f"{key}: it is taken from ${{hydra:...}}, which a job alone knows, and {key} is checked before the "
                "first job; write a value, or in a sweep a value for each job. Only keys of a class of yours may be "
                "taken from there."
            ) from None
        raise InputError(f"{key}: {str(error).splitlines()[0]}; set it to a value, or to a key that exists.") from None


def _numbers(text: str) -> Iterator[float]:
    """The number that a text is written as; nothing for another text."""
    for kind in (int, float):
        with suppress(ValueError):
            yield kind(text)


def _example(value: Any, rule: Entry) -> str:
    assert rule.allowed is not None
    if isinstance(value, float) and value.is_integer() and rule.allowed.accepts(int(value)):
        return str(int(value))  # clients=1e3
    asked = str(value).lower()
    words = [word for word in rule.allowed.words if asked and word.startswith(asked)]  # trainer.precision=16
    words += [OTHER_VALUES[name] for name in OTHER_VALUES if asked.startswith(name)] + slips(asked, rule.allowed.words)
    if meant := [word for word in words if word in rule.allowed.words]:
        return meant[0]
    usable = rule.default not in ("", "null", "???") and "${" not in rule.default and rule.default != as_written(value)
    if usable:
        return rule.default
    if rule.allowed.takes("list") and not isinstance(value, list | dict) and rule.allowed.accepts([value]):
        return as_written([value])  # attack.rounds=2
    return _example_of_meaning(rule) or rule.allowed.example()


def _example_of_meaning(rule: Entry) -> str:
    """The allowed value that the comment of a key names by `such as`, or nothing."""
    for written in re.findall(r"such as (\{[^{}]*\}|\[[^\[\]]*\])", rule.meaning):
        with suppress(yaml.YAMLError):
            if rule.allowed is not None and rule.allowed.accepts(yaml.load(written, Loader=LOADER)):
                return str(written)
    return ""
