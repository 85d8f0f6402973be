"""A class of the user's, `model._target_=mine.Net model.lr=0.2`, rewritten into overrides that Hydra accepts.

The shipped default is left out with all its keys (`~model`), and the given keys are added (`++model.lr=0.2`). They are
compared with the class's signature when the run starts (`fedlit.settings.classes`), because that imports the class.
A class that a preset (`experiment=mine`) names takes the place of the default likewise.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings.compose import Composed
from fedlit.settings.folders import CONFIG_NAME
from fedlit.settings.misfit import Misfit, Proposal
from fedlit.settings.option_names import LISTS
from fedlit.settings.overrides import key_of, values
from fedlit.settings.presets import deletions
from fedlit.settings.protocols import PROTOCOL
from fedlit.written_values import as_written

_KEPT = ("_partial_", "_convert_", "_recursive_")  # how a class of this group is called, not its arguments


def user_packages(overrides: Sequence[Override], composed: Composed) -> list[str]:
    """The packages (`model`, `aggregator.server_optimizer`) whose class the overrides name by `_target_`."""
    packages = [key_of(override).removesuffix("._target_") for override in overrides if names_class(override)]
    return [package for package in dict.fromkeys(packages) if package in composed.mounts and package not in LISTS]


def names_class(override: Override) -> bool:
    """Whether an override sets a `_target_`, by itself or in a mapping."""
    as_mapping = any(isinstance(value, dict) and "_target_" in value for value in values(override))
    return (key_of(override).endswith("._target_") or as_mapping) and not override.is_delete()


def replaced_packages(overrides: Sequence[Override], before: Composed) -> list[str]:
    """The packages whose option is left out, because a class of the user's takes its place.

    An option chosen together with `_target_` keeps its keys (`model=mlp model._target_=mine.Net` adds to mlp's).
    """
    chosen = {key_of(override) for override in overrides if not isinstance(override.value(), dict)}
    return [
        package
        for package in user_packages(overrides, before)
        if before.mounts[package] not in chosen and package != PROTOCOL  # whose option brings groups
    ]


def emptied_packages(overrides: Sequence[Override], before: Composed) -> list[str]:
    """The replaced packages, and those whose option the overrides leave out themselves, as rewritten ones do."""
    left_out = {key_of(override) for override in overrides if override.is_delete()}
    of_user = user_packages(overrides, before)
    return replaced_packages(overrides, before) + [p for p in of_user if before.mounts[p] in left_out]


def preset_packages(overrides: Sequence[Override], bases: Sequence[Composed]) -> list[str]:
    """The packages of default options for which a preset (`experiment=`) or a primary configuration of the user's names
    a class, in each job. An option that is chosen, there or on the command line, keeps its keys."""
    chosen = {key_of(override) for override in overrides} | set(user_packages(overrides, bases[0]))
    named = [_named_by_presets(base) for base in bases]
    kept = {*chosen, PROTOCOL}
    open_choices = {p: choice for p, choice in bases[0].mounts.items() if choice not in kept and p not in kept}
    for package in open_choices:
        if any(package in packages for packages in named) and not all(package in packages for packages in named):
            raise InputError(_in_some_runs(package, bases, [package in packages for packages in named]))
    return [package for package in open_choices if package in named[0]]


def _in_some_runs(package: str, bases: Sequence[Composed], named: Sequence[bool]) -> str:
    """The sentence for `experiment=a,mine` where only `mine` has a class: Hydra can leave out a default in all runs of
    a sweep only."""
    target = f"{package}._target_"
    base = bases[named.index(True)]
    preset = next(p.name for p in reversed(base.parts) if any(e.key == target for e in p.comments.entries))
    group = base.mounts[package].partition("@")[0]
    return (
        f"{preset} names a class for {package}, and another run of this sweep does not; run it in a sweep of its own, "
        f"or write the class into an option {group}/<name>.yaml and `override /{base.mounts[package]}: <name>` into "
        f"{preset}."
    )


def _named_by_presets(composed: Composed) -> set[str]:
    packages: set[str] = set()
    chosen: set[str] = set()
    for part in composed.parts:
        if part is composed.protocol:
            continue
        if part.package == "" and (part.comments.preset or part.name != CONFIG_NAME):
            chosen |= {name.removeprefix("override ").lstrip("/") for name in part.comments.defaults}
            packages |= {e.key.removesuffix("._target_") for e in part.comments.entries if e.key.endswith("._target_")}
    return {package for package in packages if composed.mounts.get(package) not in chosen}


def is_inside(override: Override, packages: Sequence[str]) -> bool:
    """Whether an override chooses an option below one of the packages "
    "(`optimizer@aggregator.server_optimizer=adam`)."""
    return any((override.package or "").startswith(f"{package}.") for package in packages)


def check_replaced(
    settings: Sequence[Override], options: Sequence[Override], replaced: Sequence[str], before: Composed
) -> None:
    """Refuse a key of an option that went with the replaced one, `aggregator.server_optimizer.lr=0.1`: the user's class
    would get a mapping in place of an optimiser."""
    chosen = {option.package for option in options} | set(user_packages(settings, before))
    for override in settings:
        key, text = key_of(override), override.input_line or ""
        if override.is_delete() and any(key.startswith(f"{package}.") for package in replaced):
            package = key.partition(".")[0]
            reason = f"your class in {package}._target_ gets no key of {package}={before.choices.get(package)}"
            raise Misfit(text, reason, [Proposal((), "leave it out.")], "leave it out.")
        for package, choice in before.mounts.items():
            above = [other for other in replaced if package.startswith(f"{other}.")]
            if above and package not in chosen and key.startswith(f"{package}.") and not override.is_delete():
                raise Misfit(
                    text,
                    f"your class in {above[0]}._target_ takes the place of {above[0]}={before.choices[above[0]]} and "
                    f"of its {package.removeprefix(above[0])[1:]}",
                    [Proposal((f"{choice}={before.choices[choice]}", text), "choose one, {}.")],
                )


def rewrite(overrides: Sequence[Override], before: Composed, bases: Sequence[Composed]) -> list[str]:
    """The overrides for Hydra.

    `before` is composed of the overrides that choose options, with none left out; `bases` has one configuration for
    each job of a sweep, composed of all options.
    """
    replaced = replaced_packages(overrides, before)
    emptied = emptied_packages(overrides, before)
    texts = [_inside(override) if is_inside(override, emptied) else override.input_line or "" for override in overrides]
    front: list[str] = []
    of_presets = preset_packages(overrides, bases)
    for package in [*user_packages(overrides, before), *of_presets]:
        under = [_is_under(override, package) for override in overrides]
        texts = [_added(text) if inside else text for text, inside in zip(texts, under, strict=True)]
        if package not in replaced and package not in of_presets:
            continue
        choice = before.mounts[package]
        if before.choices[choice] is not None and not any(package.startswith(f"{other}.") for other in replaced):
            front.append(f"~{choice}")
        given = {
            name
            for override, inside in zip(overrides, under, strict=True)
            if inside
            for name in _names(override, package)
        }
        by_preset = _set_by_presets(package, bases)
        front += _default_calls(package, before, given | (by_preset if package in of_presets else set()))
        if package in replaced:
            front += deletions(f"{package}.{name}" for name in sorted(by_preset - given - {"_target_", *_KEPT}))
    return front + [text for text in texts if text]


def _inside(override: Override) -> str:
    """The choice of an option below a replaced one: nothing is mounted there any more, so it is added."""
    return "" if override.is_delete() else f"+{(override.input_line or '').lstrip('+')}"


def _is_under(override: Override, package: str) -> bool:
    key = key_of(override)
    return not override.is_delete() and (
        key.startswith(f"{package}.") or (key == package and isinstance(override.value(), dict))
    )


def _added(text: str) -> str:
    return f"++{text.lstrip('+')}"


def _names(override: Override, package: str) -> list[str]:
    """The names directly under the package that an override sets."""
    key, value = key_of(override), override.value()
    return list(value) if key == package and isinstance(value, dict) else [key[len(package) + 1 :].partition(".")[0]]


def _default_calls(package: str, base: Composed, given: set[str]) -> list[str]:
    kept = [name for name in _KEPT if f"{package}.{name}" in base.keys and name not in given]
    return [f"++{package}.{name}={as_written(base.keys[f'{package}.{name}'])}" for name in kept]


def _set_by_presets(package: str, bases: Sequence[Composed]) -> set[str]:
    """The names directly under the package that presets (`experiment=`) set; those for a replaced class are deleted."""
    keys = {key for base in bases for key in base.table.preset if key.startswith(f"{package}.")}
    return {key[len(package) + 1 :].partition(".")[0] for key in keys}
