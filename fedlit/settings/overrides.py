"""The overrides of a command line, `key=value`, `group=option`, `+key=value`, `~key`, parsed by Hydra's grammar."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Quote, QuotedString
from hydra.errors import HydraException

from fedlit.errors import InputError


class MissingValue(InputError):
    """A word without an equals sign; `text` is the word."""

    def __init__(self, text: str):
        self.text = text
        super().__init__(f"{text}: a value is missing; write {text.lstrip('+')}=<value>.")


def parse(overrides: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Each override as Hydra parses it; InputError for one that does not follow its grammar.

    `loader` knows the options that match a `glob(*)`.
    """
    parser = OverridesParser.create(config_loader=loader)
    parsed = []
    for index, text in enumerate(overrides):
        try:
            [override] = parser.parse_overrides([text])  # the plural form passes the loader on
        except HydraException as error:
            if "=" not in text and not text.startswith("~"):
                raise MissingValue(text) from None
            raise InputError(_unreadable(overrides[index:], error)) from None
        if not override.key_or_group:
            raise InputError(f"{text}: there is no key before the = sign; write for example clients=10.")
        parsed.append(override)
    return parsed


def _unreadable(words: Sequence[str], error: HydraException) -> str:
    """The sentence for the first of these words, which Hydra cannot parse."""
    text = words[0]
    key, _, value = text.partition("=")
    why = f"{text}: this is not of the form key=value ({' '.join(str(error).splitlines()[0].split())})"
    for count in range(2, len(words) + 1):  # a shell has cut a mapping or a text at its spaces
        joined = " ".join(words[:count])
        if _is_readable(joined):
            is_sweep = OverridesParser.create().parse_override(joined).is_sweep_override()
            unsplit = assignment(key, joined.partition("=")[2]) if is_sweep else joined
            return f"{why}; a value with spaces is quoted for the shell, {for_shell(unsplit)}."
    above, dot, name = key.lstrip("+").partition(".")
    as_mapping = f"{above}={{{name}:{value}}}"
    if dot and "/" in name and _is_readable(as_mapping):  # targets.global/test/accuracy=0.8
        return f"{text}: a name with a slash stands in a mapping; write {for_shell(as_mapping)}."
    inner = re.sub(r"(?<=[:,\[])\s*([^\s'\"{}:,]*[^\w\s'\"{}:,./-][^\s'\"{}:,]*)", r'"\1"', value)
    if value.startswith("{") and _is_readable(as_mapping := f"{key}={inner}"):  # {host: PAY_[0-9]}
        return f"{why}; a text with special characters is quoted, {for_shell(as_mapping)}."
    names = re.findall(r"[\w./-]+", re.sub(r"\([^)]*\)", "", value)) if value.startswith("[") else []
    if _is_readable(as_list := f"{key}=[{','.join(names)}]") and names:
        return f"{why}; a list is written {for_shell(as_list)}."
    as_text = assignment(key, value)
    if _is_readable(as_text):
        return f"{why}; a text with special characters is quoted, {for_shell(as_text)}."
    return f"{why}; write for example clients=10, optimizer@aggregator.server_optimizer=adam, +a.b=1 or '~a.b'."


def _is_readable(text: str) -> bool:
    try:
        OverridesParser.create().parse_override(text)
    except HydraException:
        return False
    return True


def quoted(text: str) -> str:
    """`text` in quotes, so that Hydra takes all its characters as they are."""
    return QuotedString(text, Quote.single).with_quotes()


def assignment(key: str, value: str) -> str:
    """`key=value` with the value in double quotes where Hydra would read it as something else."""
    plain = f"{key}={value}"
    if _is_readable(plain):
        override = OverridesParser.create().parse_override(plain)
        if not override.is_sweep_override() and override.value() == value:
            return plain
    return f"{key}={QuotedString(value, Quote.double).with_quotes()}"


def resume_override(folder: str | PurePath) -> str:
    """`resume=<folder>` as it is typed in a shell, whatever characters the folder has."""
    return for_shell(assignment("resume", str(folder)))


def for_shell(*overrides: str) -> str:
    """The overrides as they are typed in bash or zsh. A placeholder, such as `clients=<value>`, stays as it is."""
    return " ".join(text if text.endswith("=<value>") else shlex.quote(text) for text in overrides)


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


def explicitly_set(overrides: Iterable[str], group: str) -> bool:
    """Whether the user chose an option of `group` or set one of its keys (`optimizer=adam`, `optimizer.lr=0.1`).

    The same group mounted elsewhere (`optimizer@aggregator.server_optimizer=adam`) is not `group`.
    """
    keys = (text.lstrip("+").partition("=")[0] for text in overrides if not text.startswith("~"))
    return any(key == group or key.startswith(f"{group}.") for key in keys)
