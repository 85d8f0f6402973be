"""Overrides that choose options: `partition=dirichlet`, `optimizer@aggregator.server_optimizer=adam`, `~logger`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings.closest import closest, listed
from fedlit.settings.compose import Composed
from fedlit.settings.overrides import as_written, key_of, sign, values


def chooses_option(override: Override, groups: set[str]) -> bool:
    """Whether an override chooses an option rather than setting a key (a mapping given for a group sets its keys)."""
    return override.key_or_group in groups and not isinstance(override.value(), dict)


def check_group(override: Override, groups: set[str]) -> None:
    """Refuse `optimiser@aggregator.server_optimizer=adam` and the like: only a group has a package or a slash."""
    text, name = override.input_line or "", override.key_or_group
    if override.package is None and "/" not in name:
        return  # a key, which is looked up in the composed configuration
    nearest = closest(name, groups)
    advice = (
        f"did you mean {_corrected(override, nearest)}?"
        if nearest
        else f"the groups are {listed(sorted(_without_hydras(groups)))}."
    )
    raise InputError(f"{text}: there is no group of options named {name}; {advice}")


def check_option(override: Override, options: Callable[[str], Sequence[str]]) -> None:
    """Refuse an option that the group does not have, in each choice of a sweep."""
    text, group = override.input_line or "", override.key_or_group
    if override.is_delete():
        return
    known = list(options(group))
    for value in values(override):
        if value is None:
            raise InputError(f"{text}: null is no option; leave this override out, or choose from {listed(known)}.")
        if isinstance(value, list):
            raise InputError(f"{text}: one option is chosen; write {key_of(override)}=<option>, from {listed(known)}.")
        if str(value).removesuffix(".yaml") not in known:
            nearest = closest(str(value), known)
            advice = f"did you mean {sign(override)}{key_of(override)}={nearest}?" if nearest else ""
            advice = advice or f"the options are {listed(known)}."
            raise InputError(f"{text}: there is no {group} named {as_written(value)}; {advice}")


def check_mounts(overrides: Sequence[Override], base: Composed) -> None:
    """Refuse `optimizer@server=adam` if no option is mounted at `server`, and `+partition=iid` if one is mounted.

    `base` is composed without the overrides that name a package or have a sign.
    """
    for override in overrides:
        text, choice = override.input_line or "", key_of(override)
        if override.is_add() and base.choices.get(choice) is not None:
            raise InputError(
                f"{text}: an option of {choice} is chosen already; write {text.lstrip('+')}, without the +."
            )
        if override.is_force_add():
            raise InputError(f"{text}: an option is chosen without the ++; write {text.lstrip('+')}.")
        if choice in base.choices or override.is_add():
            continue
        mounted = [name for name in base.choices if name.split("@")[0] == override.key_or_group]
        nearest = closest(choice, mounted)
        advice = (
            f"did you mean {_corrected(override, nearest)}?"
            if nearest
            else f"write +{text.lstrip('~')} to put one there."
        )
        if override.package is None:  # a group of the user's, from which config.yaml chooses nothing
            advice = f"write +{text.lstrip('~')}."
        raise InputError(f"{text}: no option of {override.key_or_group} is chosen there; {advice}")


def check_left_out(overrides: Sequence[Override], composed: Composed, before: Composed) -> None:
    """Refuse `~partition`: a group of config.yaml needs an option (a class of the user's may take its place)."""
    for override in overrides:
        package = before.mounts.get(key_of(override))
        if override.is_delete() and package is not None and "." not in package and package not in composed.config:
            raise InputError(
                f"{override.input_line}: {package} cannot be left out; choose one of its options, {package}=<option>."
            )


def _corrected(override: Override, name: str) -> str:
    value = (override.input_line or "").partition("=")[2]
    return f"{sign(override)}{name}={value}" if value else f"{sign(override)}{name}"


def _without_hydras(groups: set[str]) -> list[str]:
    return [group for group in groups if group != "hydra" and not group.startswith("hydra/")]
