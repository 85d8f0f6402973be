"""What is meant by a key that does not exist: a slip, a key of another option, another framework's name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from hydra.core.override_parser.types import Override

from fedlit.settings.closest import closest, closest_key, listed, normalised
from fedlit.settings.compose import Composed
from fedlit.settings.known_keys import GROUP_KEYS, KEYS, SENTENCES
from fedlit.settings.misfit import Misfit, Proposal, meant, surely_meant
from fedlit.settings.option_names import LISTS, STAGES, choosing
from fedlit.settings.overrides import for_shell, key_of
from fedlit.settings.table import foreign_class
from fedlit.written_values import as_written

Options = dict[str, dict[str, list[str]]]


def unknown_key(override: Override, key: str, composed: Composed, groups: set[str], options: Options) -> Misfit:
    """The misfit of a key that is in no file of the configuration; `options` is group -> option -> its keys."""
    text, value = override.input_line or "", (override.input_line or "").partition("=")[2]
    reason = f"there is no key {key}"
    known = {k for k in composed.keys if not k.startswith("hydra") or key.startswith("hydra")} | composed.table.known
    candidates = sorted(known - {""}, key=lambda k: (k.count("."), k))
    if override.is_delete():
        near = closest_key(key, candidates)
        return Misfit(text, reason, [surely_meant(near, f"~{near}")] if near else [], "leave it out.")
    if proposals := _named_option(override, key, groups):
        return Misfit(text, reason, proposals)
    foreign = foreign_class(key, composed.keys)
    if foreign is not None:
        return _of_a_foreign_class(override, key, foreign, candidates)
    ends = [normalised(key.rpartition(".")[2]), normalised(key.partition(".")[0])]
    sentences = [SENTENCES[end] for end in ends if end in SENTENCES]
    if KEYS.get(ends[0]) == "attack" and value[:1] in {*"[.0123456789"}:  # byzantine=2
        sentences.append(SENTENCES["malicious"])
    advice = next(iter(sentences), "").replace("{value}", value or "<value>")
    if advice and "." not in key:
        return Misfit(text, reason, [], f"{advice}.")
    other_keys = _other_keys(key, composed)
    if (other := next((k for k in other_keys if k in composed.keys), None)) is not None:
        [corrected] = _corrections(override, other, set())
        return Misfit(text, reason, [meant(corrected), surely_meant(other, corrected)])
    package, _, name = key.partition(".")
    within = [k for k in composed.keys if name and k.startswith(f"{package}.") and k.endswith(f".{name}")]
    if len(within) == 1:  # reduction.f of the reduction within another one
        [corrected] = _corrections(override, within[0], set())
        return Misfit(text, reason, [meant(corrected), surely_meant(within[0], corrected)])
    meant_keys = [k for k in (key, *other_keys, _of_renamed_group(*key.rpartition(".")[::2])) if k is not None]
    misfits = [_of_other_choice(text, k, composed, options) for k in meant_keys]
    misfits += [_near_key(text, k, composed, options) for k in meant_keys]
    if (misfit := next((m for m in misfits if m is not None), None)) is not None:
        return misfit
    if proposals := _of_named_option(key, value, composed, options):
        return Misfit(text, reason, proposals, "--help lists the keys and the options.")
    names = _meant_names(key, candidates, groups)
    if key != key_of(override):  # inside a mapping, which is not written out again
        return Misfit(text, reason, [], f"did you mean {names[0]}?" if names else _nothing_like(key, candidates))
    proposals = [meant(text) for name in names for text in _corrections(override, name, groups)]
    if "." not in key:
        proposals += _by_value(value, options) + _of_another_option(key, value, options)
    sure = [name for name in names if _is_sure(key, name, composed)]
    proposals += [surely_meant(name, _corrections(override, name, groups)[-1]) for name in sure]
    having = [for_shell(choosing(group, option)) for group, option in _options_with(key, options)]
    if advice or having:
        return Misfit(text, reason, proposals, f"{advice}." if advice else f"{listed(having)} has it.")
    parent, _, name = key.rpartition(".")
    if parent == "trainer" and composed.table.open_above(f"{parent}.options.x"):
        proposals.append(
            Proposal((f"{parent}.options.{name}={value}",), f"{parent} passes other arguments on; write {{}}.")
        )
    return Misfit(text, reason, proposals, _nothing_like(key, candidates))


def _named_option(override: Override, key: str, groups: set[str]) -> list[Proposal]:
    """The option for `algorithm.name=fedprox` or `optimizer.type=adam`, as other frameworks choose one."""
    parent, _, name = key.rpartition(".")
    group = parent if parent in groups else KEYS.get(normalised(parent))
    if group is None or group not in groups or normalised(name) not in ("name", "type", "kind"):
        return []
    corrected = _corrections(override, group, set())[-1]
    return [meant(corrected), meant(corrected.lower()), surely_meant(group, corrected)]


def _of_a_foreign_class(override: Override, key: str, foreign: str, candidates: Iterable[str]) -> Misfit:
    text = override.input_line or ""
    parent = key.rpartition(".")[0]
    siblings = [k for k in candidates if k.rpartition(".")[0] == parent]
    other_name = KEYS.get(normalised(key.rpartition(".")[2]))
    nearest = other_name if other_name in siblings else closest_key(key, siblings)
    added = f"write {for_shell(f'+{text}')}."
    if nearest is None:
        return Misfit(text, f"{key} is not among the keys that are set", [], f"if {foreign} takes it, {added}")
    corrected = for_shell(*_corrections(override, nearest, set()))
    return Misfit(text, f"there is no key {key}", [], f"did you mean {corrected}? If {foreign} takes {key}, {added}")


def _other_keys(key: str, composed: Composed) -> list[str]:
    """Keys of the group that a name of papers or of other frameworks may mean."""
    package, _, name = key.partition(".")
    group = composed.mounts.get(package, "")
    if group in LISTS:  # uplink.topk.ratio
        package, _, name = key.rpartition(".")
    names = GROUP_KEYS.get(group, {}).get(normalised(name), "")
    return [f"{package}.{other}" for other in names.split()]


def _of_other_choice(text: str, key: str, composed: Composed, options: Options) -> Misfit | None:
    """`partition=iid has no alpha; partition=dirichlet has it`, or None."""
    package, name = _package_and_name(key, composed)
    choice = composed.mounts.get(package, "")
    group = choice.partition("@")[0]
    first = name.partition(".")[0]  # of server_optimizer.lr
    having = [f"{choice}={option}" for option, keys in options.get(group, {}).items() if {name, first} & {*keys}]
    if not having or f"{package}.{first}" in composed.keys:
        return None
    chosen = composed.choices[choice]
    without = f"no {group} is chosen" if chosen is None else f"{choice}={as_written(chosen)} has no {first}"
    has = f"{listed(having)} {'has' if len(having) == 1 else 'have'} {'it' if chosen else first}"
    written = f"{key}={text.partition('=')[2]}"
    phrase = "write {}." if len(having) == 1 else "write for example {}."
    proposals = [Proposal((option, written), phrase) for option in having]
    return Misfit(text, f"{without}; {has}", proposals)


def _near_key(text: str, key: str, composed: Composed, options: Options) -> Misfit | None:
    """The misfit of a slip of a key that another option of the group has, or None."""
    package, name = _package_and_name(key, composed)
    choice = composed.mounts.get(package, "")
    group = choice.partition("@")[0]
    near = closest(name, {k for keys in options.get(group, {}).values() for k in keys if not k.startswith("_")})
    if near is None or f"{package}.{near}" in composed.keys:
        return None
    having = [f"{choice}={option}" for option, keys in options.get(group, {}).items() if near in keys]
    return Misfit(text, f"there is no key {key}; did you mean {package}.{near} of {listed(having)}?", [])


def _package_and_name(key: str, composed: Composed) -> tuple[str, str]:
    """Where an option is mounted, and the key within it: `aggregator.server_optimizer` and `lr`."""
    package = max((p for p in composed.mounts if key.startswith(f"{p}.")), key=len, default="")
    return package, key.removeprefix(f"{package}.")


def _of_named_option(key: str, value: str, composed: Composed, options: Options) -> list[Proposal]:
    """`reduction=krum reduction.f=2` for `krum.f=2`."""
    option, _, name = key.partition(".")
    proposals = []
    for group, choices in _uplink_first(options):
        place = f"{group}.{option}" if group in LISTS else group
        inner = f"{option}.{name}" if group in LISTS else name
        if name and inner in choices.get(option, ()):
            chosen = composed.choices.get(group)
            is_chosen = option in chosen if isinstance(chosen, list | tuple) else chosen == option
            choice = [] if is_chosen else [choosing(group, option)]
            proposals.append(Proposal((*choice, f"{place}.{name}={value}")))
    return proposals


def _meant_names(key: str, candidates: list[str], groups: set[str]) -> list[str]:
    """Keys and groups that may be meant, the likeliest first."""
    parent, _, name = key.rpartition(".")
    other_name = KEYS.get(normalised(name))
    top = {*(k for k in candidates if "." not in k), *groups}
    nearest = closest(key, top) if not parent else closest_key(key, candidates)
    ends = [k for k in candidates if k.rpartition(".")[2] == name]
    if parent:  # a key of the same name elsewhere is another thing
        ends = [*(k for k in ends if k.startswith(f"{parent}.")), *(k for k in ends if "." not in k)]
    names = [other_name if not parent else None, nearest, *ends, other_name if parent else None]
    if not parent:
        names.append(closest_key(key, candidates))
    similar = dict.fromkeys(n for n in [_of_renamed_group(parent, name), *names] if n and not _is_hydras(n, name))
    side = {n: _sides(parent if n == other_name else key) for n in similar}
    return [n for n in similar if not side[n] - _sides(n)]


def _is_sure(key: str, name: str, composed: Composed) -> bool:
    """Whether a name is meant, whatever its value is: another framework's, a slip, or the end of a key that is there,
    `optimizer.lr` for `lr`."""
    is_end = name in composed.keys and name.rpartition(".")[2] == key
    return is_end or name == KEYS.get(normalised(key)) or bool(get_close_matches(key, [name], cutoff=0.8))


def _is_hydras(key: str, name: str) -> bool:
    """Whether a key is one of Hydra's own, such as `_target_`, of which `name` is no slip."""
    end = key.rpartition(".")[2]
    return end.startswith("_") and closest(name, [end]) is None


def _of_renamed_group(parent: str, name: str) -> str | None:
    """`aggregator.server_optimizer.lr` for `central_optimizer.lr`."""
    group, _, package = KEYS.get(normalised(parent), "").partition("@")
    return f"{package or group}.{name}" if group else None


_SIDES = re.compile(r"server|central(?!i)|global|(?<![a-z])(?:min|max|val|test)(?![a-z])")

_SAME_SIDE = {"central": "server", "global": "server"}


def _sides(key: str) -> set[str]:
    """What a word says of whose key it is. `central_momentum` is no slip of `momentum`, the clients'."""
    return {_SAME_SIDE.get(side, side) for side in _SIDES.findall(key.lower())}


def _by_value(value: str, options: Options) -> list[Proposal]:
    """Options of that name, `aggregator=fedavg` for `foo=FedAvg`."""
    return [
        meant(choosing(group, option))
        for group, choices in _uplink_first(options)
        for option in choices
        if normalised(option) == normalised(value)
    ]


def _uplink_first(options: Options) -> list[tuple[str, dict[str, list[str]]]]:
    """The groups with their options; those of downlink, which uplink has as well, last."""
    return sorted(options.items(), key=lambda item: item[0] == "downlink")


def _of_another_option(key: str, value: str, options: Options) -> list[Proposal]:
    """The option that has a key of that name, `aggregator=fedprox aggregator.mu=0.1` for `mu=0.1`, if it is one."""
    having = _options_with(key, options)
    if len(having) != 1:
        return []
    [(group, option)] = having
    chosen, place = choosing(group, option), f"{group}.{option}" if group in LISTS else group
    return [Proposal((chosen, f"{place}.{key}={value}"), f"{chosen} has it, {{}}.")]


def _options_with(key: str, options: Options) -> list[tuple[str, str]]:
    return [
        (group, option)
        for group, choices in options.items()
        for option, keys in choices.items()
        if (f"{option}.{key}" if group in LISTS else key) in keys
    ]


def _corrections(override: Override, name: str, groups: set[str]) -> list[str]:
    """The override with another key or group; a `+` is kept only where an option may be added."""
    value = (override.input_line or "").partition("=")[2]
    if name in STAGES and value and not override.is_sweep_override() and not value.startswith(("[", "{")):
        value = f"[{value}]"
    signs = ["~"] if override.is_delete() else ["+", ""] if override.is_add() and name in groups else [""]
    return [f"{prefix}{name}={value}" if value else f"{prefix}{name}" for prefix in signs]


def _nothing_like(key: str, known: Iterable[str]) -> str:
    parent = key.rpartition(".")[0]
    siblings = [k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == parent and not k.endswith("_")]
    if siblings:
        return f"{parent or 'the top level'} has {listed(siblings)}."
    return "--help lists the keys and the options."
