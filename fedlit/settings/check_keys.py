"""Overrides that set keys: `clients=10`, `partition.alpha=0.1`, `+trainer.x=1`, `~a.b`; unknown keys are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings.closest import listed
from fedlit.settings.compose import Composed
from fedlit.settings.misfit import Misfit, Proposal
from fedlit.settings.option_names import LISTS, OTHER_SWEEP, choosing
from fedlit.settings.overrides import for_shell, key_of, leaves, sign
from fedlit.settings.table import above_of, foreign_class
from fedlit.settings.unknown_keys import Options, unknown_key


def check_key_in_jobs(
    override: Override, jobs: Sequence[Composed], groups: set[str], options: Callable[[], Options]
) -> None:
    """Refuse a key that a run of a sweep does not have; the arguments are those of `check_key`."""
    for job in jobs:
        try:
            check_key(override, job, groups, options)
        except Misfit as misfit:
            key = key_of(override)
            having = [other for other in jobs if key in other.keys]
            package = max((p for p in job.mounts if key.startswith(f"{p}.")), key=len, default="")
            choice = job.mounts.get(package, "")
            lacking = job.choices.get(choice)
            if not having or lacking is None or lacking in [other.choices[choice] for other in having]:
                raise
            others = list(dict.fromkeys(str(other.choices[choice]) for other in having))
            text = override.input_line or ""
            raise Misfit(
                misfit.text,
                f"the runs with {choosing(choice, str(lacking))} have no {key.removeprefix(f'{package}.')}",
                [],
                f"write {for_shell(choice + '=' + ','.join(others), text)} {OTHER_SWEEP}",
            ) from None


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
    text, plain = override.input_line or "", (override.input_line or "").lstrip("+")
    keys, rules = composed.keys, composed.table
    if override.is_delete() and key in composed.mounts and "." in key:
        choice = composed.mounts[key]
        raise Misfit(text, "an option is mounted there", [], f"choose another, {choice}=<option>.")
    if override.is_delete() and key in keys and foreign_class(key, keys) is None:
        raise InputError(f"{text}: {key} cannot be left out; set it, {key}=<value>.")
    if override.is_add() and key in keys and not isinstance(override.value(), (dict, list)):
        raise Misfit(
            text, f"{key} exists already", [Proposal((plain,), "write {}, without the +.", name=f"{key} without the +")]
        )
    if override.value() == {} and key in composed.mounts and key not in LISTS:
        raise Misfit(text, "an empty mapping sets nothing", [Proposal((), "leave it out.")])
    if isinstance(keys.get(key), dict) and key not in rules.rules and not isinstance(override.value(), dict):
        raise _holds_keys(override, key, composed)
    if key in keys or rules.open_above(key):
        return
    for above in above_of(key):
        if isinstance(elements := keys.get(above), list):
            _check_number(text, key, above, len(elements))
            return
    if foreign_class(key, keys) is not None and sign(override) in ("+", "++"):
        return  # compared with the signature when the run starts
    raise unknown_key(override, key, composed, groups, options())


def _check_number(text: str, key: str, above: str, length: int) -> None:
    """Refuse `model.hidden.first=3`: the elements of a list have numbers."""
    number = key[len(above) + 1 :].partition(".")[0]
    if not number.isdigit() or int(number) >= length:
        has = f"its elements are 0 to {length - 1}" if length else "it is empty"
        raise InputError(
            f"{text}: {above} is a list and has no {number}; {has}; write the whole list, '{above}=[...]'."
        )


def _holds_keys(override: Override, key: str, composed: Composed) -> Misfit:
    """The misfit of `aggregator.server_optimizer=adam` or `checkpoint=5`."""
    text = override.input_line or ""
    if key in composed.mounts:
        choice, value = composed.mounts[key], text.partition("=")[2]
        proposal = Proposal((f"{choice}={value}",), "write {} to choose another.", name=choice)
        return Misfit(text, "an option is mounted there", [proposal], f"choose one, {choice}=<option>.")
    inner = [f"{k}=<value>" for k in composed.keys if k.startswith(f"{key}.") and not k.endswith("_")]
    return Misfit(text, f"{key} holds keys", [], f"write {listed(inner)}.")
