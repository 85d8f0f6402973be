"""Presets (`experiment=`, `debug=`) set keys of any group: do the chosen options have these keys?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings.closest import closest_key
from fedlit.settings.compose import Composed
from fedlit.settings.option_names import OPTIONAL, STAGES, choosing
from fedlit.settings.overrides import key_of
from fedlit.settings.table import above_of, foreign_class, keys_of
from fedlit.written_values import as_written


def check_presets(composed: Composed) -> None:
    """Refuse a preset, such as an `experiment=` file of the user's, with a key that its options do not have."""
    rules = composed.table
    keys = keys_of(composed.config)
    for key, preset in rules.preset.items():
        if key in composed.mounts and not isinstance(keys.get(key), dict | type(None)):
            group, written = composed.mounts[key], as_written(keys[key])
            raise InputError(
                f"{preset}: `{key}: {written}` sets a value; write `override /{group}: {written}` into its defaults "
                "list to choose an option."
            )
    for stage, preset in _without_class(composed).items():
        group, _, name = stage.partition(".")
        chosen = choosing(group, *composed.choices[group])
        raise InputError(
            f"{preset}: it sets keys of {stage}, and {chosen} does not choose {name}; write `override /{group}: "
            f"[{name}]` into its defaults list, and run it in a sweep of its own where other runs are without {name}."
        )
    for key, preset in _unknown(composed, keys).items():
        nearest = closest_key(key, sorted(rules.known))
        advice = f"did you mean {nearest}?" if nearest else "delete it, or choose an option that has it."
        raise InputError(f"{preset}: it sets {key}, which is no key of the options chosen; {advice}")


def left_over(options: Sequence[Override], bases: Sequence[Composed]) -> list[str]:
    """Overrides that delete the keys that a preset set for its own choice, if the user chose another option.

    `experiment=paper model=mlp`, and paper sets `model.channels` for the cnn that it chooses itself.
    """
    chosen = {key_of(option) for option in options if not option.is_delete()}
    packages = tuple(f"{package}." for package, choice in bases[0].mounts.items() if choice in chosen)
    packages += tuple(f"{key_of(option)}." for option in options if option.is_delete() and key_of(option) in OPTIONAL)
    unknown = [
        {_topmost(key, base) for key in (*_unknown(base, base.keys), *_without_class(base)) if key.startswith(packages)}
        for base in bases
    ]
    return deletions(sorted(set.intersection(*unknown)))


def _topmost(key: str, composed: Composed) -> str:
    """`reduction.inner` for `reduction.inner.f`, where the chosen reduction has no `inner`."""
    above = [other for other in above_of(key) if "." in other]  # the topmost last
    return next((other for other in reversed(above) if other not in composed.table.known), key)


def deletions(keys: Iterable[str]) -> list[str]:
    """Overrides that delete keys. Hydra refuses to delete a key that is null or absent, so each is set first."""
    return [override for key in keys for override in (f"++{key}=0", f"~{key}")]


def _without_class(composed: Composed) -> dict[str, str]:
    """The stages that presets set keys of and that have no class, because they are not chosen: stage -> preset."""
    keys = keys_of(composed.config)
    stages = {".".join(key.split(".")[:2]): preset for key, preset in composed.table.preset.items()}
    return {
        stage: preset
        for stage, preset in stages.items()
        if stage.startswith(tuple(f"{group}." for group in STAGES))
        and isinstance(keys.get(stage), dict)
        and "_target_" not in keys[stage]
    }


def _unknown(composed: Composed, keys: dict[str, Any]) -> dict[str, str]:
    """The keys that presets set and no option chosen has: key -> preset."""
    rules = composed.table
    return {
        key: preset
        for key, preset in rules.preset.items()
        if key in keys and key not in rules.known and not rules.open_above(key) and foreign_class(key, keys) is None
    }
