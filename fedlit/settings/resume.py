"""`resume=<run folder>`: a run goes on with its saved configuration; the given overrides change `MAY_CHANGE` alone.

This is done before Hydra starts, which would overwrite the record of the run. The final configuration is the saved one,
even if the shipped defaults have changed since; only the parts of `MAY_CHANGE` that the given overrides change are
replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.settings.check import Checked, check
from fedlit.settings.compose import Composed, Composer
from fedlit.settings.no_result import FREE_ON_RESUME
from fedlit.settings.overrides import key_of, parse, quoted, sign
from fedlit.settings.saved import Saved, read_saved, rounds_done, saved_search_path
from fedlit.settings.table import keys_of
from fedlit.written_values import as_written

MAY_CHANGE = ("rounds", "stop", *FREE_ON_RESUME)
_REFUSAL = "a run that goes on may change {} alone; leave these out, or start a fresh run"
_NOTHING = "(absent)"


@dataclass(frozen=True)
class Resumed:
    """A run that goes on."""

    overrides: list[str]  # for Hydra
    composed: Composed  # of these overrides
    config: DictConfig  # for the run, in place of the composed one
    has_state: bool  # False where the run was stopped before its first checkpoint, and begins again


def resumed_folder(overrides: Sequence[str]) -> Path | None:
    """The folder that `resume=` names, absolute; None if the overrides start a new run."""
    named = [override for override in parse(overrides) if key_of(override) == "resume" and not override.is_delete()]
    if not named or named[-1].value() is None:
        return None
    value = named[-1].value()
    if not isinstance(value, str):
        raise InputError(f"{named[-1].input_line}: one folder is resumed at a time; write resume=<run folder>.")
    if not value.strip():
        raise InputError(
            f"{named[-1].input_line}: this names no folder (is a variable of the shell empty?); write resume=<run "
            "folder>, or resume=. for the current one."
        )
    return Path(value).expanduser().absolute()


def resume(folder: Path, overrides: Sequence[str], composer: Composer) -> Resumed:
    """Compose the saved overrides with the given ones; InputError with a diff if more than `MAY_CHANGE` differs."""
    saved = read_saved(folder)
    given = [override.input_line or "" for override in parse(overrides) if key_of(override) != "resume"]
    for text in given:
        if text.startswith(("hydra.run.dir=", "hydra.output_subdir=")):
            raise InputError(f"{text}: a resumed run stays in its folder; leave this override out.")
    changed = with_changes(f"resume={folder}", folder, saved, given, composer, MAY_CHANGE, _REFUSAL)
    config = changed.config
    with open_dict(config):
        config.resume = str(folder)
    _refuse_fewer_rounds(folder, config.rounds)
    OmegaConf.set_struct(config, True)
    return Resumed(changed.overrides, changed.composed, config, saved.has_state)


@dataclass(frozen=True)
class Changed:
    """The configuration of a saved run in which given overrides have changed some parts."""

    overrides: list[str]
    composed: Composed
    config: DictConfig


def with_changes(
    named: str,
    folder: Path,
    saved: Saved,
    given: Sequence[str],
    composer: Composer,
    may_change: Sequence[str],
    refusal: str,
) -> Changed:
    """Compose the saved overrides with the given ones, and put the parts that may change into the saved configuration.

    Args:
        named: the run, as messages begin with it.
        given: overrides; none of them is `resume=`.
        may_change: keys and groups.
        refusal: the sentence about other changes, with `{}` in place of the parts that may change.

    Raises:
        InputError: an override is wrong, or more than these parts would change.
    """
    given = list(given)
    search = saved_search_path(folder)
    if search and composer.config_dir is None and not any(text.startswith("hydra.searchpath=") for text in given):
        given.append(f"hydra.searchpath=[{','.join(map(quoted, search))}]")
    hydras = [text for text in given if parse([text])[0].is_hydra_override()]
    before = _checked_before(named, [*saved.overrides, *hydras], composer)
    task = [text for text in given if text not in hydras]
    after = check([*combine(saved.overrides, task, before), *hydras], composer)
    was, now = keys_of(before.composed.config), keys_of(after.composed.config)
    _refuse_cut_off(named, before, saved)
    _refuse_changes(was, now, keys_of(saved.config), may_change, f"{named}: {refusal}")
    config = saved.config.copy()
    with open_dict(config):
        for part in may_change:
            if was.get(part) != now.get(part):
                OmegaConf.update(config, part, OmegaConf.select(after.composed.config, part), merge=False)
    return Changed(after.overrides, after.composed, config)


def combine(saved: Sequence[str], given: Sequence[str], before: Checked) -> list[str]:
    """The saved overrides, with the given ones in place of those for the same key.

    If another option of a group is chosen, the saved overrides for keys of that group are dropped.
    """
    combined = list(saved)
    for override in parse(given):
        key, text = key_of(override), override.input_line or ""
        group, _, package = key.partition("@")
        package = package or group.replace("/", ".")
        chose = key in before.composed.choices or f"~{key}" in saved  # left out for a class of the user's
        if chose and before.composed.choices.get(key) != override.value():
            combined = [other for other in combined if not other.lstrip("+~").startswith(f"{package}.")]
        same = [index for index, other in enumerate(combined) if key_of(parse([other])[0]) == key]
        if not same:
            combined.append(text)
            continue
        old = parse([combined[same[-1]]])[0]
        combined[same[-1]] = text if sign(override) or old.is_delete() else sign(old) + text
    return combined


def _checked_before(named: str, overrides: Sequence[str], composer: Composer) -> Checked:
    try:
        return check(overrides, composer)
    except InputError as error:
        raise InputError(f"{named}: the saved overrides of the run do not compose any more: {error}") from None


def _refuse_cut_off(named: str, before: Checked, saved: Saved) -> None:
    """InputError if the configuration of a run that begins again lacks a part. A checkpoint has digests for that."""
    missing = [str(key) for key in before.composed.config if key not in saved.config]
    if missing and not saved.has_state:
        raise InputError(
            f"{named}: the configuration of this run lacks {', '.join(missing)}, because its file was cut off "
            "or is of another version of fedlit; start the run again in a new folder."
        )


def _refuse_fewer_rounds(folder: Path, rounds: int) -> None:
    done = rounds_done(folder, above=rounds)
    if done > rounds:
        raise InputError(
            f"resume={folder} rounds={rounds}: this run has done {counted(done, 'round')} already; write "
            f"rounds={done + 1} or more to go on with it."
        )


def _refuse_changes(
    was: dict[str, Any], now: dict[str, Any], saved: dict[str, Any], may_change: Sequence[str], refusal: str
) -> None:
    changed = []
    for key in dict.fromkeys([*was, *now]):
        old, new = was.get(key, _NOTHING), now.get(key, _NOTHING)
        if (
            old == new
            or any(f"{key}.".startswith(f"{part}.") for part in (*may_change, "resume"))
            or isinstance(new if old == _NOTHING else old, dict)
        ):
            continue
        changed.append(f"  {key}: {as_written(saved.get(key, old))} -> {as_written(new)}")
    if changed:
        raise InputError(f"{refusal.format(', '.join(may_change))}:\n" + "\n".join(changed))
