"""Words that choose options: `partition=dirichlet`, `optimizer@aggregator.server_optimizer=adam`, `~logger`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings.closest import closest, listed
from fedlit.settings.compose import Composed
from fedlit.settings.overrides import as_written, key_of, sign, values


def chooses_option(override: Override, groups: set[str]) -> bool:
    """Whether a word chooses an option rather than setting a key (a mapping given for a group sets its keys)."""
    return override.key_or_group in groups and not isinstance(override.value(), dict)


def check_group(override: Override, groups: set[str]) -> None:
    """Refuse `optimiser@aggregator.server_optimizer=adam` and the like: only a group has a package or a slash."""
    word, name = override.input_line or "", override.key_or_group
    if override.package is None and "/" not in name:
        return  # a key: looked up in the composed configuration
    found = closest(name, groups)
    said = f"did you mean {_again(override, found)}?" if found else f"the groups are {listed(sorted(_ours(groups)))}."
    raise InputError(f"{word}: there is no group of options named {name}; {said}")


def check_option(override: Override, options: Callable[[str], Sequence[str]]) -> None:
    """Refuse an option that the group does not have, in each choice of a sweep."""
    word, group = override.input_line or "", override.key_or_group
    if override.is_delete():
        return
    known = list(options(group))
    for value in values(override):
        if value is None:
            raise InputError(f"{word}: null is no option; leave the word out, or choose from {listed(known)}.")
        if isinstance(value, list):
            raise InputError(f"{word}: one option is chosen; write {key_of(override)}=<option>, from {listed(known)}.")
        if str(value).removesuffix(".yaml") not in known:
            found = closest(str(value), known)
            said = f"did you mean {sign(override)}{key_of(override)}={found}?" if found else ""
            said = said or f"the options are {listed(known)}."
            raise InputError(f"{word}: there is no {group} named {as_written(value)}; {said}")


def check_mounts(overrides: Sequence[Override], base: Composed) -> None:
    """Refuse `optimizer@server=adam` where no option stands at `server`, and `+partition=iid` where one does.

    `base` is what the words compose to without those that name a package.
    """
    for override in overrides:
        word, choice = override.input_line or "", key_of(override)
        if override.is_add() and base.choices.get(choice) is not None:
            raise InputError(
                f"{word}: an option of {choice} is chosen already; write {word.lstrip('+')}, without the +."
            )
        if override.is_force_add():
            raise InputError(f"{word}: an option is chosen without the ++; write {word.lstrip('+')}.")
        if choice in base.choices or override.is_add():
            continue
        mounted = [name for name in base.choices if name.split("@")[0] == override.key_or_group]
        found = closest(choice, mounted)
        said = f"did you mean {_again(override, found)}?" if found else f"write +{word.lstrip('~')} to put one there."
        if override.package is None:  # a person's own group, which config.yaml does not choose from
            said = f"write +{word.lstrip('~')}."
        raise InputError(f"{word}: no option of {override.key_or_group} is chosen there; {said}")


def check_left_out(overrides: Sequence[Override], composed: Composed, before: Composed) -> None:
    """Refuse `~partition`: what config.yaml chooses is needed (a person's class may take its place)."""
    for override in overrides:
        package = before.mounts.get(key_of(override))
        if override.is_delete() and package is not None and "." not in package and package not in composed.config:
            raise InputError(
                f"{override.input_line}: {package} cannot be left out; choose one of its options, {package}=<option>."
            )


def _again(override: Override, name: str) -> str:
    value = (override.input_line or "").partition("=")[2]
    return f"{sign(override)}{name}={value}" if value else f"{sign(override)}{name}"


def _ours(groups: set[str]) -> list[str]:
    return [group for group in groups if group != "hydra" and not group.startswith("hydra/")]
