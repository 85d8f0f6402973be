"""Overrides that choose options: `partition=dirichlet`, `optimizer@aggregator.server_optimizer=adam`, `~logger`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings import folders
from fedlit.settings.closest import closest, listed, normalised, slips
from fedlit.settings.compose import Composed
from fedlit.settings.known_keys import KEYS
from fedlit.settings.known_names import OTHER_GROUPS, OTHER_NAMES, is_known, known_name
from fedlit.settings.misfit import Misfit, Proposal, meant
from fedlit.settings.option_lists import check_elements, check_list, is_class, names_of, with_other_name
from fedlit.settings.option_names import LISTS, OPTIONAL, STAGES, choosing
from fedlit.settings.overrides import for_shell, key_of, sign, values
from fedlit.settings.protocols import PROTOCOL
from fedlit.settings.table import foreign_class
from fedlit.written_values import as_written

PRESETS = ("experiment", "tune", "debug")  # groups whose options set keys of others
TRAVELS = (
    "aggregator",
    *STAGES,
    "reduction",
    "attack",
    "protocol",
)  # groups whose options are often looked for in one another

Options = Callable[[str], Sequence[str]]


def chooses_option(override: Override, groups: set[str]) -> bool:
    """Whether an override chooses an option rather than setting a key (a mapping given for a group sets its keys)."""
    return override.key_or_group in groups and not isinstance(override.value(), dict)


def chooses_nothing(override: Override) -> bool:
    """Whether an override is `reduction=null`. Hydra takes null in a defaults list only."""
    is_choice = override.key_or_group in OPTIONAL and override.package is None and sign(override) == ""
    return is_choice and not override.is_sweep_override() and override.value() is None


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
    group = override.key_or_group
    known = list(options(group))
    if group in LISTS:
        check_elements(override, known)
    unknown = (
        []
        if override.is_delete()
        else [n for v in values(override) for n in names_of(v) if not _is_known(n, group, known, options)]
    )
    if group in LISTS:
        for name in unknown:
            if name not in ("none", "") and not is_class(name, known) and len(slips(name, known)) != 1:
                raise _no_option(override, name, known, options, groups)
        check_list(override, known)
    for value in [] if override.is_delete() or group in LISTS else values(override):
        if value is None or (value == "none" and group in OPTIONAL and "none" not in known):
            raise _no_null(override, known)
        if isinstance(value, list):
            raise _no_list(override, value, known)
    for name in unknown:
        raise _no_option(override, name, known, options, groups)


def _is_known(name: str, group: str, known: Sequence[str], options: Options) -> bool:
    folder, _, file = name.removesuffix(".yaml").rpartition("/")  # experiment=paper/table_1
    return file in (options(f"{group}/{folder}") if folder else known)


def _no_null(override: Override, known: Sequence[str]) -> Misfit:
    """The misfit of `reduction=null`: where no option is chosen, Hydra has no name for that."""
    text, key = override.input_line or "", key_of(override)
    has_none = None not in values(override)
    proposals = []
    if "none" in known:
        proposals = [Proposal((with_other_name(override, "null", "none"),), "write {}.")]
    elif key in OPTIONAL and "mean" in known:
        phrase = "write {}, or leave it out for the default of the algorithm."
        chosen = ["mean" if value in (None, "none") else as_written(value) for value in values(override)]
        proposals = [Proposal((f"{key}={','.join(dict.fromkeys(chosen))}",), phrase)]
    return Misfit(
        text,
        "none is no option" if has_none else "null is no option",
        proposals,
        f"leave this override out, or choose from {listed(known)}.",
    )


def _no_list(override: Override, chosen: Sequence[object], known: Sequence[str]) -> Misfit:
    """The misfit of `reduction=[krum]` or `reduction=[bucketing,krum]`."""
    text, key = override.input_line or "", key_of(override)
    names = list(map(str, chosen))
    proposals = [] if len(names) != 1 else [Proposal((f"{key}={names[0]}",), "write {}.")]
    if not names and "none" in known:
        proposals = [Proposal((f"{key}=none",), "write {}.")]
    if len(names) == 2 and key == "reduction":
        phrase = "write {} for the second one within the first."
        proposals = [Proposal((f"{key}={a}", f"{key}@{key}.inner={b}"), phrase) for a, b in (names, names[::-1])]
    return Misfit(text, "one option is chosen", proposals, f"write {key}=<option>, from {listed(known)}.")


def _no_option(override: Override, value: str, known: Sequence[str], options: Options, groups: Sequence[str]) -> Misfit:
    """The misfit of a value that is no option of the override's group."""
    text, group = override.input_line or "", override.key_or_group
    at = override.package or group.replace("/", ".")
    reason = f"there is no {group} named {as_written(value)}"
    if is_known(group, value) and (advice := known_name(group, value, at)):
        return Misfit(text, reason, [], advice)
    is_class = group in folders.groups(folders.conf_folder()) and group not in (*PRESETS, PROTOCOL)
    place = f"{at}.mine" if group in LISTS else at
    with_class = f"; a class of your own is {place}._target_=mine.Name" if is_class else ""
    otherwise = f"the options are {listed(known)}{with_class}."
    if "." in value and "/" not in value and "*" not in value and group not in LISTS:
        return Misfit(text, reason, [Proposal((f"{place}._target_={value}",), "a class is named by {}")], otherwise)
    other = OTHER_NAMES.get(group, {}).get(normalised(value))
    names = [other] if other is not None else slips(value, known)
    if len(names) > 1:
        return Misfit(text, reason, [], f"did you mean {listed(f'{key_of(override)}={name}' for name in names)}?")
    if names:
        corrected = with_other_name(override, value, names[0])
        return Misfit(text, reason, [meant(corrected), meant(corrected.lstrip("+"))], otherwise)
    if advice := known_name(group, value, at):
        return Misfit(text, reason, [], advice)
    proposals = _of_other_groups(override, value, options) if group in TRAVELS else []
    others = [other for other in _without_hydras(groups) if other != group and value != "none"]
    elsewhere = [other for other in others if value in options(other)]
    if elsewhere:
        otherwise = f"{listed(for_shell(choosing(other, value)) for other in elsewhere)} is one; {otherwise}"
    return Misfit(text, reason, proposals, otherwise)


def _of_other_groups(override: Override, value: str, options: Options) -> list[Proposal]:
    """`reduction=krum` for `aggregator=krum` or `uplink=[topk,krum]`, the second with the stages that are left."""
    group = override.key_or_group
    rest = [name for name in names_of(values(override)[0]) if name != value] if group in LISTS else []
    kept = [choosing(key_of(override), *rest)] if rest else []
    words = [OTHER_GROUPS[group][normalised(value)]] if normalised(value) in OTHER_GROUPS.get(group, {}) else []
    for other in TRAVELS:
        if other != group and value != "none":
            words += [choosing(other, name) for name in options(other) if normalised(name) == normalised(value)]
    return [Proposal((*kept, word)) for word in words]


def check_mounts(
    overrides: Sequence[Override],
    base: Composed,
    own_options: Callable[[str, str], bool],
    keys: Callable[[], Mapping[str, Mapping[str, Sequence[str]]]],
) -> None:
    """Refuse `optimizer@server=adam` if no option is mounted at `server`, and `+partition=iid` if one is mounted.

    Args:
        base: composed without the overrides that name a package or have a sign.
        own_options: whether an option of a group is not shipped: the user knows what its class takes.
        keys: gives group -> option -> its keys, and the places within it where options are mounted.
    """
    for override in overrides:
        text, choice = override.input_line or "", key_of(override)
        plain = text.lstrip("+~")
        if override.is_add() and choice in base.choices:
            chosen = "is chosen already" if base.choices[choice] else "has a place already"
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
        option = base.choices.get(override.key_or_group)
        if override.key_or_group in OPTIONAL and not (option and own_options(override.key_or_group, str(option))):
            raise _no_wrapper(override, base, keys()[override.key_or_group])
        proposals = [meant(word) for word in _other_places(override, base)]
        reason = f"no option of {override.key_or_group} is chosen there"
        if has_no_mount:
            has = base.mounts[above].partition("@")[0]
            reason = f"{has}={base.choices[base.mounts[above]]} takes no {(override.package or '').rpartition('.')[2]}"
        elif not proposals:
            proposals = [Proposal((f"+{plain}",), "write {}.")]
        raise Misfit(text, reason, proposals, "leave it out, or choose another option.")


def _no_wrapper(override: Override, base: Composed, keys: Mapping[str, Sequence[str]]) -> Misfit:
    """The misfit of `reduction@reduction.inner=krum` without a reduction that has another one within it."""
    text, group = override.input_line or "", override.key_or_group
    name, value = (override.package or "").rpartition(".")[2], text.partition("=")[2]
    wrappers = [option for option, names in keys.items() if name in names]
    if not wrappers or (override.package or "").count(".") > 1:
        return Misfit(text, f"no option of {group} is chosen there", [], "leave it out, or choose another option.")
    inner = f"{group}@{group}.{name}={value}"
    proposals = (
        [] if base.choices.get(group) else [Proposal((f"{group}={wrappers[0]}", inner), "write for example {}.")]
    )
    chosen = (
        f"{group}={base.choices[group]} takes no {name}"
        if base.choices.get(group)
        else f"no {group} that has an {name} one is chosen"
    )
    takes = f"{listed(f'{group}={option}' for option in wrappers)} {'takes' if len(wrappers) == 1 else 'take'} one"
    return Misfit(text, chosen, [*(meant(word) for word in _other_places(override, base)), *proposals], f"{takes}.")


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
        if package in OPTIONAL and before.choices[key_of(override)] is None:
            raise Misfit(override.input_line or "", f"no {package} is chosen", [Proposal((), "leave it out.")])
        if (
            package not in OPTIONAL
            and override.is_delete()
            and package is not None
            and "." not in package
            and package not in composed.config
        ):
            raise InputError(
                f"{override.input_line}: {package} cannot be left out; choose one of its options, {package}=<option>."
            )


def _corrected(override: Override, name: str) -> str:
    value = (override.input_line or "").partition("=")[2]
    return f"{sign(override)}{name}={value}" if value else f"{sign(override)}{name}"


def _without_hydras(groups: Sequence[str] | set[str]) -> list[str]:
    return [group for group in groups if group != "hydra" and not group.startswith("hydra/")]
