"""`resume=<run folder>`: the saved configuration goes on, and what is written beside it may only change how.

Looked at before Hydra, which would overwrite the run's record otherwise. The final configuration is the saved one, even
where the shipped defaults have changed since; only the parts of `MAY_CHANGE` that the given words change are replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from fedlit.errors import InputError
from fedlit.settings.check import Checked, check
from fedlit.settings.compose import Composed, Composer
from fedlit.settings.overrides import as_written, key_of, parse, quoted, sign
from fedlit.settings.saved import read_saved, saved_search_path
from fedlit.settings.table import keys_of

MAY_CHANGE = ("rounds", "engine", "progress", "checkpoint")
_NOTHING = "(not there)"


@dataclass(frozen=True)
class Resumed:
    """A run that goes on."""

    overrides: list[str]  # for Hydra
    composed: Composed  # what they compose to
    config: DictConfig  # what the run is given, in place of what the overrides compose to
    has_state: bool  # False where the run was stopped before its first checkpoint, and begins again


def resumed_folder(words: Sequence[str]) -> Path | None:
    """The folder that `resume=` names, absolute; None where the words start a fresh run."""
    found = [override for override in parse(words) if key_of(override) == "resume" and not override.is_delete()]
    if not found or found[-1].value() is None:
        return None
    value = found[-1].value()
    if not isinstance(value, str):
        raise InputError(f"{found[-1].input_line}: one folder is resumed at a time; write resume=<run folder>.")
    return Path(value).expanduser().absolute()


def resume(folder: Path, words: Sequence[str], composer: Composer) -> Resumed:
    """Compose the saved words with the given ones; InputError with a diff where more than `MAY_CHANGE` differs."""
    saved = read_saved(folder)
    given = [override.input_line or "" for override in parse(words) if key_of(override) != "resume"]
    for word in given:
        if word.startswith(("hydra.run.dir=", "hydra.output_subdir=")):
            raise InputError(f"{word}: a resumed run stays in its folder; leave this word out.")
    search = saved_search_path(folder)
    if search and composer.config_dir is None and not any(word.startswith("hydra.searchpath=") for word in given):
        given.append(f"hydra.searchpath=[{','.join(map(quoted, search))}]")
    hydras = [word for word in given if parse([word])[0].is_hydra_override()]
    before = _checked_before(folder, [*saved.overrides, *hydras], composer)
    task = [word for word in given if word not in hydras]
    after = check([*combine(saved.overrides, task, before), *hydras], composer)
    was, now = keys_of(before.composed.config), keys_of(after.composed.config)
    _refuse_changes(folder, was, now, keys_of(saved.config))
    config = saved.config.copy()
    with open_dict(config):
        for part in MAY_CHANGE:
            if was.get(part) != now.get(part):
                config[part] = OmegaConf.select(after.composed.config, part)
        config.resume = str(folder)
    OmegaConf.set_struct(config, True)
    return Resumed(after.overrides, after.composed, config, saved.has_state)


def combine(saved: Sequence[str], given: Sequence[str], before: Checked) -> list[str]:
    """The saved words with the given ones in the place of those for the same key.

    Another option of a group takes the saved words for its keys away.
    """
    words = list(saved)
    for override in parse(given):
        key, word = key_of(override), override.input_line or ""
        group, _, package = key.partition("@")
        package = package or group.replace("/", ".")
        chose = key in before.composed.choices or f"~{key}" in saved  # left out for a person's class
        if chose and before.composed.choices.get(key) != override.value():
            words = [w for w in words if not w.lstrip("+~").startswith(f"{package}.")]
        same = [number for number, w in enumerate(words) if key_of(parse([w])[0]) == key]
        if not same:
            words.append(word)
            continue
        old = parse([words[same[-1]]])[0]
        words[same[-1]] = word if sign(override) or old.is_delete() else sign(old) + word
    return words


def _checked_before(folder: Path, words: Sequence[str], composer: Composer) -> Checked:
    try:
        return check(words, composer)
    except InputError as error:
        raise InputError(f"resume={folder}: what the run was started with does not compose any more: {error}") from None


def _refuse_changes(folder: Path, was: dict[str, Any], now: dict[str, Any], saved: dict[str, Any]) -> None:
    changed = []
    for key in dict.fromkeys([*was, *now]):
        old, new = was.get(key, _NOTHING), now.get(key, _NOTHING)
        if (
            old == new
            or key.partition(".")[0] in (*MAY_CHANGE, "resume")
            or isinstance(new if old == _NOTHING else old, dict)
        ):
            continue
        changed.append(f"  {key}: {as_written(saved.get(key, old))} -> {as_written(new)}")
    if changed:
        raise InputError(
            f"resume={folder}: a run that goes on may change {', '.join(MAY_CHANGE)} alone; leave these out, or start "
            "a fresh run:\n" + "\n".join(changed)
        )
