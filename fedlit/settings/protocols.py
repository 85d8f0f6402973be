"""What a protocol's option brings into a configuration: groups, by its defaults list, and keys at the top level."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from fedlit.settings.comments import GLOBAL, LOADER, OptionFile, read_file

PROTOCOL = "protocol"
"""The group. Its options are the loops that a run may have."""

DEFAULT = "rounds"
"""The protocol of runs that were started before there were others."""

Chosen = str | list[str] | None


def is_vertical(config: DictConfig) -> bool:
    """Whether a run's configuration has parties with columns of the same people. Another one, as every run of earlier
    versions, has no key `protocol`."""
    return "protocol" in config


def place_of(choice: str) -> str:
    """Where an option stands in the configuration.

    >>> place_of("optimizer"), place_of("lr_schedule@server_lr_schedule")
    ('optimizer', 'server_lr_schedule')
    """
    group, _, package = choice.partition("@")
    return package or group.replace("/", ".")


def brought_choices(file: OptionFile) -> list[str]:
    """The groups from which a protocol's defaults list chooses for the whole configuration: `columns`, `cipher`."""
    return [choice for name in file.defaults if (choice := _choice(name, file)) is not None]


def brought_names(file: OptionFile) -> set[str]:
    """The names at the top level of the configuration that a protocol's option brings: `columns`, `clients`."""
    names = [place_of(choice) for choice in brought_choices(file)]
    names += [entry.key for entry in file.entries] if file.package == GLOBAL else []
    return {name.partition(".")[0] for name in names}


def shipped_protocols(folder: Path) -> dict[str, OptionFile]:
    """The options of the group by name, that of `DEFAULT` first; empty for a folder without the group."""
    files = sorted((folder / PROTOCOL).glob("*.yaml"), key=lambda file: (file.stem != DEFAULT, file.stem))
    return {file.stem: read_file(file) for file in files}


def chosen_in(path: Path) -> dict[str, Chosen]:
    """The choices of a file's defaults list for the whole configuration: group -> option, list of options, or None."""
    content: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    file = read_file(path)
    chosen = {}
    for item in content.get("defaults", ()):
        for name, option in item.items() if isinstance(item, dict) else ():
            if (choice := _choice(name, file)) is not None:
                chosen[choice] = option
    return chosen


def _choice(name: str, file: OptionFile) -> str | None:
    """`columns` for `/columns@_global_.columns` in an option's defaults list; None for a choice within the option."""
    if name.startswith("override "):
        return None
    group, _, package = name.lstrip("/").partition("@")
    is_global = file.package == GLOBAL or package.startswith(f"{GLOBAL}.")
    if not is_global:
        return None
    package = package.removeprefix(f"{GLOBAL}.")
    return group if package in ("", group) else f"{group}@{package}"


def protocols_with(name: str, folder: Path) -> Iterator[str]:
    """The shipped protocols that bring a name."""
    return (protocol for protocol, file in shipped_protocols(folder).items() if name in brought_names(file))
