"""The words of a command line, `key=value`, `group=option`, `+key=value`, `~key`, read by Hydra's own grammar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Quote, QuotedString
from hydra.errors import HydraException

from fedlit.errors import InputError


def parse(words: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Each word as Hydra reads it; InputError for one that is no word of its grammar.

    `loader` knows the options that a `glob(*)` stands for.
    """
    parser = OverridesParser.create(config_loader=loader)
    parsed = []
    for word in words:
        try:
            [override] = parser.parse_overrides([word])  # gives it the loader
        except HydraException as error:
            raise InputError(_unreadable(word, error)) from None
        if not override.key_or_group:
            raise InputError(f"{word}: there is no key before the = sign; write for example clients=10.")
        parsed.append(override)
    return parsed


def _unreadable(word: str, error: HydraException) -> str:
    if "=" not in word:
        return f"{word}: a value is missing; write {word.lstrip('+')}=<value>."
    value = word.partition("=")[2]
    why = " ".join(str(error).splitlines()[0].split())
    quote = f"; a value with special characters is quoted, '{word.partition('=')[0]}=\"{value}\"'" if value else ""
    return f"{word}: this is not of the form key=value ({why}){quote}."


def quoted(text: str) -> str:
    """`text` so that Hydra reads it as that text, whatever characters it holds."""
    return QuotedString(text, Quote.single).with_quotes()


def sign(override: Override) -> str:
    """What stands before the key: nothing, `+`, `++` or `~`."""
    return "+" if override.is_add() else "++" if override.is_force_add() else "~" if override.is_delete() else ""


def key_of(override: Override) -> str:
    """The key without its sign: `clients`, `partition`, `optimizer@aggregator.server_optimizer`."""
    return override.get_key_element().lstrip("+~")


def values(override: Override) -> list[Any]:
    """Every value a word stands for: one, or all choices of a sweep (the two ends of an interval)."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [value.start, value.end]
    if not override.is_sweep_override():
        return [value]
    return [v.text if isinstance(v, QuotedString) else v for v in override.sweep_iterator()]


def single_overrides(override: Override) -> list[str]:
    """The word, or for a sweep one word for each choice."""
    if not override.is_sweep_override() or isinstance(override.value(), IntervalSweep):
        return [override.input_line or ""]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """`(dotted key, value)` of a value and, where it is a mapping, of all it holds."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(f"{key}.{name}", inner)
    else:
        yield key, value


def as_written(value: Any) -> str:
    """A plain value as a person would write it after the `=`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}: {as_written(inner)}" for name, inner in value.items()) + "}"
    return str(value)


def explicitly_set(overrides: Iterable[str], group: str) -> bool:
    """Whether a person chose an option of `group` or set one of its keys (`optimizer=adam`, `optimizer.lr=0.1`).

    The same group mounted elsewhere (`optimizer@aggregator.server_optimizer=adam`) is not `group`.
    """
    keys = (word.lstrip("+").partition("=")[0] for word in overrides if not word.startswith("~"))
    return any(key == group or key.startswith(f"{group}.") for key in keys)
