"""The overrides of a command line, `key=value`, `group=option`, `+key=value`, `~key`, parsed by Hydra's grammar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Quote, QuotedString
from hydra.errors import HydraException

from fedlit.errors import InputError


def parse(overrides: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Each override as Hydra parses it; InputError for one that does not follow its grammar.

    `loader` knows the options that match a `glob(*)`.
    """
    parser = OverridesParser.create(config_loader=loader)
    parsed = []
    for text in overrides:
        try:
            [override] = parser.parse_overrides([text])  # the plural form passes the loader on
        except HydraException as error:
            raise InputError(_unreadable(text, error)) from None
        if not override.key_or_group:
            raise InputError(f"{text}: there is no key before the = sign; write for example clients=10.")
        parsed.append(override)
    return parsed


def _unreadable(text: str, error: HydraException) -> str:
    if "=" not in text:
        return f"{text}: a value is missing; write {text.lstrip('+')}=<value>."
    value = text.partition("=")[2]
    why = " ".join(str(error).splitlines()[0].split())
    quote = f"; a value with special characters is quoted, '{text.partition('=')[0]}=\"{value}\"'" if value else ""
    return f"{text}: this is not of the form key=value ({why}){quote}."


def quoted(text: str) -> str:
    """`text` in quotes, so that Hydra takes all its characters as they are."""
    return QuotedString(text, Quote.single).with_quotes()


def sign(override: Override) -> str:
    """The sign before the key: nothing, `+`, `++` or `~`."""
    return "+" if override.is_add() else "++" if override.is_force_add() else "~" if override.is_delete() else ""


def key_of(override: Override) -> str:
    """The key without its sign: `clients`, `partition`, `optimizer@aggregator.server_optimizer`."""
    return override.get_key_element().lstrip("+~")


def values(override: Override) -> list[Any]:
    """Every value of an override: one, or all choices of a sweep (for an interval, its two ends)."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [value.start, value.end]
    if not override.is_sweep_override():
        return [value]
    return [v.text if isinstance(v, QuotedString) else v for v in override.sweep_iterator()]


def single_overrides(override: Override) -> list[str]:
    """The override as text, or for a sweep one text for each choice (for an interval, its start)."""
    if not override.is_sweep_override():
        return [override.input_line or ""]
    if isinstance(value := override.value(), IntervalSweep):
        return [f"{override.get_key_element()}={value.start}"]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """`(dotted key, value)` of a value and, where it is a mapping, of all it holds."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(f"{key}.{name}", inner)
    else:
        yield key, value


def as_written(value: Any) -> str:
    """A plain value as it is written after the `=`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}: {as_written(inner)}" for name, inner in value.items()) + "}"
    return str(value)


def explicitly_set(overrides: Iterable[str], group: str) -> bool:
    """Whether the user chose an option of `group` or set one of its keys (`optimizer=adam`, `optimizer.lr=0.1`).

    The same group mounted elsewhere (`optimizer@aggregator.server_optimizer=adam`) is not `group`.
    """
    keys = (text.lstrip("+").partition("=")[0] for text in overrides if not text.startswith("~"))
    return any(key == group or key.startswith(f"{group}.") for key in keys)
