"""A person's own class, `model._target_=mine.Net model.lr=0.2`, as it stands: what Hydra has to be told instead.

The shipped default is left out with all its keys (`~model`), and the given keys are added (`++model.lr=0.2`). They are
checked against the class's signature when the run starts (`fedlit.settings.classes`), for that imports the class.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.override_parser.types import Override

from fedlit.settings.compose import Composed
from fedlit.settings.overrides import as_written, key_of, values
from fedlit.settings.presets import taken_out

_KEPT = ("_partial_", "_convert_", "_recursive_")  # how a class of this group is called, not what it is called with


def own_packages(overrides: Sequence[Override], composed: Composed) -> list[str]:
    """The packages (`model`, `aggregator.server_optimizer`) whose class the words name by `_target_`."""
    packages = [key_of(override).removesuffix("._target_") for override in overrides if names_class(override)]
    return [package for package in dict.fromkeys(packages) if package in composed.mounts]


def names_class(override: Override) -> bool:
    """Whether an override sets a `_target_`, by itself or in a mapping."""
    as_mapping = any(isinstance(value, dict) and "_target_" in value for value in values(override))
    return (key_of(override).endswith("._target_") or as_mapping) and not override.is_delete()


def rewrite(overrides: Sequence[Override], before: Composed, bases: Sequence[Composed]) -> list[str]:
    """The words for Hydra.

    `before` is what the words that choose options compose to with nothing left out; `bases` the same with all words,
    one for each job of a sweep.

    An option chosen beside `_target_` keeps its keys (`model=mlp model._target_=mine.Net` adds to mlp's).
    """
    words = [override.input_line or "" for override in overrides]
    front: list[str] = []
    for package in own_packages(overrides, before):
        under = [_is_under(override, package) for override in overrides]
        words = [_added(word) if inside else word for word, inside in zip(words, under, strict=True)]
        choice = before.mounts[package]
        chosen = {key_of(override) for override in overrides if not isinstance(override.value(), dict)}
        if choice in chosen:
            continue
        if before.choices[choice] is not None:
            front.append(f"~{choice}")
        given = {
            name
            for override, inside in zip(overrides, under, strict=True)
            if inside
            for name in _names(override, package)
        }
        front += _default_calls(package, before, given) + _without_presets(package, bases, given)
    return front + words


def _is_under(override: Override, package: str) -> bool:
    key = key_of(override)
    return not override.is_delete() and (
        key.startswith(f"{package}.") or (key == package and isinstance(override.value(), dict))
    )


def _added(word: str) -> str:
    return f"++{word.lstrip('+')}"


def _names(override: Override, package: str) -> list[str]:
    """The names right under the package that a word sets."""
    key, value = key_of(override), override.value()
    return list(value) if key == package and isinstance(value, dict) else [key[len(package) + 1 :].partition(".")[0]]


def _default_calls(package: str, base: Composed, given: set[str]) -> list[str]:
    kept = [name for name in _KEPT if f"{package}.{name}" in base.keys and name not in given]
    return [f"++{package}.{name}={as_written(base.keys[f'{package}.{name}'])}" for name in kept]


def _without_presets(package: str, bases: Sequence[Composed], given: set[str]) -> list[str]:
    """Words that take out what presets (`experiment=`) set for the class that was there before."""
    keys = {key for base in bases for key in base.table.preset if key.startswith(f"{package}.")}
    names = sorted({key[len(package) + 1 :].partition(".")[0] for key in keys} - given - {"_target_", *_KEPT})
    return taken_out(f"{package}.{name}" for name in names)
