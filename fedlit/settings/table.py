"""The table of what is allowed in a composed configuration, gathered from the comments of the files it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fedlit.settings.comments import Entry
from fedlit.settings.compose import Composed, Part


@dataclass
class Table:
    """Keys of one composed configuration."""

    rules: dict[str, Entry] = field(default_factory=dict)  # full dotted key -> its comment
    known: set[str] = field(default_factory=set)  # every key that an option file has, and what leads to it
    preset: dict[str, str] = field(default_factory=dict)  # key -> the preset that sets it last, "experiment/lecture"

    def open_above(self, key: str) -> bool:
        """Whether `key` lies in a mapping that takes any key (`[mapping]`)."""
        return any(
            (rule := self.rules.get(above)) and rule.allowed and rule.allowed.takes("mapping")
            for above in above_of(key)
        )


def table(composed: Composed) -> Table:
    """The table for what a list of words composed to."""
    made = Table()
    for part in composed.parts:
        for entry in part.comments.entries:
            key = full_key(part, entry.key)
            if part.comments.preset:
                made.preset[key] = part.name
                continue
            made.known.update((key, *above_of(key)))
            if entry.allowed is not None:
                made.rules[key] = entry
        made.known.update((part.package, *above_of(part.package)))
    return made


def full_key(part: Part, key: str) -> str:
    """A key of a file as it stands in the whole configuration."""
    return f"{part.package}.{key}" if part.package else key


def above_of(key: str) -> Iterable[str]:
    """`a.b.c` -> `a.b`, `a`."""
    while "." in key:
        key = key.rpartition(".")[0]
        yield key


def keys_of(config: DictConfig) -> dict[str, Any]:
    """Every dotted key of a configuration with its value as composed (interpolations stay as they are written)."""
    found: dict[str, Any] = {}

    def walk(node: Any, above: str) -> None:
        if isinstance(node, dict):
            for name, inner in node.items():
                found[f"{above}{name}"] = inner
                walk(inner, f"{above}{name}.")

    walk(OmegaConf.to_container(config, resolve=False), "")
    return found


def foreign_class(key: str, keys: dict[str, Any]) -> str | None:
    """The class that takes `key`, where it is not fedlit's: its signature says which keys there are."""
    for above in above_of(key):
        target = keys.get(f"{above}._target_")
        if isinstance(target, str):
            return None if target.startswith("fedlit.") else target
    return None
