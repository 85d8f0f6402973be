"""The table of what is allowed in a composed configuration, gathered from the comments of the files it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fedlit.settings.comments import Entry, OptionFile
from fedlit.settings.option_names import STAGES


@dataclass(frozen=True)
class Part:
    """One file of a composed configuration and the package of its keys."""

    name: str  # "partition/dirichlet"
    package: str  # "partition"; empty for the whole configuration
    comments: OptionFile


@dataclass
class Table:
    """Keys of one composed configuration."""

    rules: dict[str, Entry] = field(default_factory=dict)  # full dotted key -> its comment
    known: set[str] = field(default_factory=set)  # every key of the option files, and the keys above them
    preset: dict[str, str] = field(default_factory=dict)  # key -> the preset that sets it last, "experiment/lecture"

    def open_above(self, key: str) -> bool:
        """Whether `key` is in a mapping that takes any key (`[mapping]`), and in no option that is mounted there."""
        for above in above_of(key):
            rule = self.rules.get(above)
            if rule and rule.allowed and rule.allowed.takes("mapping"):
                return True
            if above in self.known:
                return False
        return False


def make_table(parts: Sequence[Part]) -> Table:
    """The table of a configuration that is made of these files."""
    table = Table()
    for part in parts:
        for entry in part.comments.entries:
            key = full_key(part, entry.key)
            if part.comments.preset:
                table.preset[key] = part.name
                continue
            table.known.update((key, *above_of(key)))
            if entry.allowed is not None:
                table.rules[key] = entry
        table.known.update((part.package, *above_of(part.package)))
    return table


def full_key(part: Part, key: str) -> str:
    """A key of a file as it is called in the whole configuration."""
    return f"{part.package}.{key}" if part.package else key


def above_of(key: str) -> Iterable[str]:
    """`a.b.c` -> `a.b`, `a`."""
    while "." in key:
        key = key.rpartition(".")[0]
        yield key


def keys_of(config: DictConfig) -> dict[str, Any]:
    """Every dotted key of a configuration with its value as composed (interpolations stay as they are written)."""
    content: Any = OmegaConf.to_container(config, resolve=False)
    return {**dotted(content), **_orders(content)}


def _orders(content: dict[str, Any]) -> dict[str, Any]:
    """The order of several stages, which is part of what a run does, and which two equal mappings may differ in."""
    stages = {group: list(content.get(group) or {}) for group in STAGES}
    return {f"{group} (order)": names for group, names in stages.items() if len(names) > 1}


def dotted(node: Any, above: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` -> `{"a": {"b": 1}, "a.b": 1}`."""
    keys: dict[str, Any] = {}
    if isinstance(node, dict):
        for name, inner in node.items():
            keys[f"{above}{name}"] = inner
            keys.update(dotted(inner, f"{above}{name}."))
    return keys


def foreign_class(key: str, keys: dict[str, Any]) -> str | None:
    """The class that takes `key`, if it is not fedlit's; its keys are those of its signature."""
    for above in above_of(key):
        target = keys.get(f"{above}._target_")
        if isinstance(target, str):
            return None if target.startswith("fedlit.") else target
    return None
