"""Overrides that choose options: `partition=dirichlet`, `optimizer@aggregator.server_optimizer=adam`, `~logger`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings import folders
from fedlit.settings.closest import closest, listed, normalised, slips
from fedlit.settings.compose import STACKED, Composed
from fedlit.settings.known_names import KEYS, OTHER_NAMES, is_known, known_name
from fedlit.settings.misfit import Misfit, Proposal, meant
from fedlit.settings.overrides import as_written, key_of, sign, values
from fedlit.settings.table import foreign_class

PRESETS = ("experiment", "tune", "debug")  # groups whose options set keys of others

Options = Callable[[str], Sequence[str]]


def chooses_option(override: Override, groups: set[str]) -> bool:
    """Whether an override chooses an option rather than setting a key (a mapping given for a group sets its keys)."""
    return override.key_or_group in groups and not isinstance(override.value(), dict)


def check_group(override: Override, groups: set[str]) -> None:
    """Refuse `optimiser@aggregator.server_optimizer=adam` and the like: only a group has a package or a slash."""
    text, name = override.input_line or "", override.key_or_group
    if override.package is None and "/" not in name:
        return  # a key, which is looked up in the composed configuration
    nearest = closest(name, groups)
    at = f"@{override.package}" if override.package is not None else ""
    proposals = [] if nearest is None else [meant(_corrected(override, f"{nearest}{at}"))]
    otherwise = f"the groups are {listed(sorted(_without_hydras(groups)))}."
    raise Misfit(text, f"there is no group of options named {name}", proposals, otherwise)


def check_option(override: Override, options: Options, groups: Sequence[str]) -> None:
    """Refuse an option that the group does not have, in each choice of a sweep."""
    text, group = override.input_line or "", override.key_or_group
    if override.is_delete():
        return
    known = list(options(group))
    for value in values(override):
        if value is None and "none" in known:
            raise Misfit(text, "null is no option", [Proposal((f"{key_of(override)}=none",), "write {}.")])
        if value is None:
            raise InputError(f"{text}: null is no option; leave this override out, or choose from {listed(known)}.")
        if isinstance(value, list) and group in STACKED:
            _check_stack(override, value)
        elif isinstance(value, list):
            raise InputError(f"{text}: one option is chosen; write {key_of(override)}=<option>, from {listed(known)}.")
        for choice in value if isinstance(value, list) else [value]:
            folder, _, name = str(choice).removesuffix(".yaml").rpartition("/")  # experiment=paper/table_1
            if name not in (options(f"{group}/{folder}") if folder else known):
                raise _no_option(override, str(choice), known, options, groups)


def _check_stack(override: Override, chosen: Sequence[object]) -> None:
    """Refuse a list of options that holds one twice, or `none` beside others."""
    text, key = override.input_line or "", key_of(override)
    names = list(dict.fromkeys(map(str, chosen)))
    if not names:
        raise Misfit(text, "the list is empty", [Proposal((f"{key}=none",), "write {}.")])
    others = [name for name in names if name != "none"]
    if len(others) < len(names) and others:
        reason = "none stands for no option, and others are in the list"
        raise Misfit(text, reason, [Proposal((_stack(key, others),), "write {}.")])
    if len(names) < len(chosen):
        twice = next(name for name in names if list(map(str, chosen)).count(name) > 1)
        raise Misfit(text, f"{twice} is in the list twice", [Proposal((_stack(key, names),), "write {}.")])


def _stack(key: str, names: Sequence[str]) -> str:
    return f"{key}=[{','.join(names)}]" if len(names) > 1 else f"{key}={names[0]}"


def _no_option(override: Override, value: str, known: Sequence[str], options: Options, groups: Sequence[str]) -> Misfit:
    """The misfit of a value that is no option of the override's group."""
    text, group = override.input_line or "", override.key_or_group
    at = override.package or group.replace("/", ".")
    reason = f"there is no {group} named {as_written(value)}"
    if is_known(group, value) and (advice := known_name(group, value, at)):
        return Misfit(text, reason, [], advice)
    is_class = group in folders.groups(folders.conf_folder()) and group not in PRESETS
    place = f"{at}.mine" if group in STACKED else at
    with_class = f"; a class of your own is {place}._target_=mine.Name" if is_class else ""
    otherwise = f"the options are {listed(known)}{with_class}."
    if "." in value and "/" not in value and "*" not in value:
        return Misfit(text, reason, [Proposal((f"{place}._target_={value}",), "a class is named by {}")], otherwise)
    other = OTHER_NAMES.get(group, {}).get(normalised(value))
    names = [other] if other is not None else slips(value, known)
    if len(names) > 1:
        return Misfit(text, reason, [], f"did you mean {listed(f'{key_of(override)}={name}' for name in names)}?")
    if names:
        corrected = _with_option(override, value, names[0])
        return Misfit(text, reason, [meant(corrected), meant(corrected.lstrip("+"))], otherwise)
    if advice := known_name(group, value, at):
        return Misfit(text, reason, [], advice)
    elsewhere = [other for other in _without_hydras(groups) if other != group and value in options(other)]
    if elsewhere:
        otherwise = f"{listed(f'{other}={value}' for other in elsewhere)} is one; {otherwise}"
    return Misfit(text, reason, [], otherwise)


def _with_option(override: Override, value: str, option: str) -> str:
    """The override with another option, in a sweep with the other choices as they are."""
    text = override.input_line or ""
    head, _, written = text.partition("=")
    return f"{head}={written.replace(value, option)}" if value in written else f"{head}={option}"


def check_mounts(overrides: Sequence[Override], base: Composed, own_options: Callable[[str, str], bool]) -> None:
    """Refuse `optimizer@server=adam` if no option is mounted at `server`, and `+partition=iid` if one is mounted.

    Args:
        base: composed without the overrides that name a package or have a sign.
        own_options: whether an option of a group is not shipped: the user knows what its class takes.
    """
    for override in overrides:
        text, choice = override.input_line or "", key_of(override)
        plain = text.lstrip("+~")
        if override.is_add() and choice in base.choices:
            chosen = "has a place already" if base.choices[choice] is None else "is chosen already"
            raise Misfit(text, f"an option of {choice} {chosen}", [Proposal((plain,), "write {}, without the +.")])
        if override.is_force_add():
            added = [plain] if choice in base.choices else [f"+{plain}", plain]
            raise Misfit(text, "an option is chosen without the ++", [Proposal((word,), "write {}.") for word in added])
        if choice in base.choices:
            continue
        above = (override.package or "").rpartition(".")[0]
        has_no_mount = (
            above in base.mounts
            and foreign_class(f"{above}.x", base.keys) is None
            and not own_options(base.mounts[above], str(base.choices[base.mounts[above]]))
        )
        if override.is_add() and not has_no_mount:
            continue
        if override.is_delete():
            raise Misfit(text, f"no option of {override.key_or_group} is chosen there", [Proposal((), "leave it out.")])
        proposals = [meant(word) for word in _other_places(override, base)]
        reason = f"no option of {override.key_or_group} is chosen there"
        if has_no_mount:
            has = base.mounts[above].partition("@")[0]
            reason = f"{has}={base.choices[base.mounts[above]]} takes no {(override.package or '').rpartition('.')[2]}"
        elif not proposals:
            proposals = [Proposal((f"+{plain}",), "write {}.")]
        raise Misfit(text, reason, proposals, "leave it out, or choose another option.")


def check_chosen(overrides: Sequence[Override], base: Composed) -> None:
    """Refuse `extra=one` of a group from which no option is chosen without it."""
    for override in overrides:
        text = override.input_line or ""
        if sign(override) == "" and override.package is None and key_of(override) not in base.choices:
            reason = f"no option of {key_of(override)} is chosen by default"
            raise Misfit(text, reason, [Proposal((f"+{text}",), "write {}.")])


def _other_places(override: Override, base: Composed) -> list[str]:
    """The override at a place that its package is a slip of, or that another framework's name means."""
    group, package = override.key_or_group, override.package or ""
    value = (override.input_line or "").partition("=")[2]
    name = package.rpartition(".")[2]
    mounted = [choice for choice in base.choices if choice.startswith(f"{group}@")]
    near = [choice for choice in mounted if slips(name, [choice.rpartition(".")[2]])]
    places = [KEYS[normalised(name)]] if KEYS.get(normalised(name)) == group else near
    return [f"{place}={value}" for place in places]


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


def _without_hydras(groups: Sequence[str] | set[str]) -> list[str]:
    return [group for group in groups if group != "hydra" and not group.startswith("hydra/")]
