"""Overrides that set keys: `clients=10`, `partition.alpha=0.1`, `+trainer.x=1`, `~a.b`; unknown keys are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings.closest import closest, closest_key, listed
from fedlit.settings.compose import Composed
from fedlit.settings.overrides import key_of, leaves, sign
from fedlit.settings.table import above_of, foreign_class

Options = dict[str, dict[str, list[str]]]


def check_key(override: Override, composed: Composed, groups: set[str], options: Callable[[], Options]) -> None:
    """Refuse a key that the composed configuration does not have, or that it has under a `+`.

    `options` gives group -> option -> its keys, called only if a key does not exist.
    """
    if isinstance(value := override.value(), dict) and value:
        for key, _ in leaves(key_of(override), value):
            _check(override, key, composed, groups, options)
    else:
        _check(override, key_of(override), composed, groups, options)


def _check(override: Override, key: str, composed: Composed, groups: set[str], options: Callable[[], Options]) -> None:
    text = override.input_line or ""
    keys, rules = composed.keys, composed.table
    if override.is_delete() and key in keys and foreign_class(key, keys) is None:
        raise InputError(f"{text}: {key} cannot be left out; set it, {key}=<value>.")
    if override.is_add() and key in keys and not isinstance(override.value(), (dict, list)):
        raise InputError(f"{text}: {key} exists already; write {text.lstrip('+')}, without the +.")
    if isinstance(keys.get(key), dict) and key not in rules.rules and not isinstance(override.value(), dict):
        raise InputError(f"{text}: {_holds_keys(override, key, composed)}")
    if key in keys or rules.open_above(key) or any(isinstance(keys.get(above), list) for above in above_of(key)):
        return
    foreign = foreign_class(key, keys)
    if foreign is not None and sign(override) in ("+", "++"):
        return  # compared with the signature when the run starts
    raise InputError(f"{text}: {_unknown(override, key, composed, groups, options())}")


def _holds_keys(override: Override, key: str, composed: Composed) -> str:
    """The advice for `aggregator.server_optimizer=adam` or `checkpoint=5`."""
    value = (override.input_line or "").partition("=")[2]
    if key in composed.mounts:
        return f"an option is mounted there; write {composed.mounts[key]}={value} to choose another."
    siblings = [k for k in composed.keys if k.startswith(f"{key}.")]
    return f"{key} holds keys; write {listed(f'{k}=<value>' for k in siblings)}."


def _unknown(override: Override, key: str, composed: Composed, groups: set[str], options: Options) -> str:
    """The advice for an unknown key."""
    text = override.input_line or ""
    keys = composed.keys
    foreign = foreign_class(key, keys)
    if foreign is None and (advice := _elsewhere(key, composed, options)):
        return advice
    known = {k for k in keys if not k.startswith("hydra") or key.startswith("hydra")} | composed.table.known
    candidates = sorted(known - {""}, key=lambda k: (k.count("."), k))
    nearest = closest_key(key, candidates)
    if "." not in key:
        nearest = closest(key, {*groups, *(k for k in candidates if "." not in k)}) or nearest
    if nearest is not None:
        corrected = _corrected(override, nearest) if key == key_of(override) else nearest
        also = f" If {foreign} takes it, write +{text}." if foreign else ""
        return f"there is no key {key}; did you mean {corrected}?{also}"
    if foreign is not None:
        return f"{key} is not among the keys that are set; if {foreign} takes it, write +{text}."
    named = [f"{group}={value}" for group, choices in options.items() if (value := text.partition("=")[2]) in choices]
    if named and "." not in key:  # algorithm=fedprox
        return f"there is no key {key}; did you mean {listed(named)}?"
    return _nothing_like(key, candidates)


def _elsewhere(key: str, composed: Composed, options: Options) -> str | None:
    """`partition=iid has no alpha; partition=dirichlet has it.`, or None."""
    package, _, name = key.partition(".")
    group = composed.mounts.get(package, "")
    having = [f"{group}={option}" for option, keys in options.get(group, {}).items() if name in keys]
    if not having:
        near = closest(name, {k for keys in options.get(group, {}).values() for k in keys if not k.startswith("_")})
        having = [f"{group}={option}" for option, keys in options.get(group, {}).items() if near in keys]
        in_this_option = f"{package}." in "".join(f"{k} " for k in composed.keys if k == f"{package}.{near}")
        return (
            None
            if near is None or in_this_option
            else f"there is no key {key}; did you mean {package}.{near} of {listed(having)}?"
        )
    return (
        f"{group}={composed.choices[group]} has no {name}; {listed(having)} {'has' if len(having) == 1 else 'have'} it."
    )


def _corrected(override: Override, key: str) -> str:
    value = (override.input_line or "").partition("=")[2]
    plain = "" if sign(override) in ("+", "++") else sign(override)
    return f"{plain}{key}={value}" if value else f"{plain}{key}"


def _nothing_like(key: str, known: Iterable[str]) -> str:
    parent, _, name = key.rpartition(".")
    siblings = [k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == parent and not k.endswith("_")]
    where = parent or "the top level"
    if siblings:
        return f"there is no key {name} in {where}; it has {listed(siblings)}."
    return f"there is no key {key}; --help lists the keys and the options."
