"""All words of a command line checked before anything is run: options, keys, values, in each job of a sweep."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings import folders
from fedlit.settings.check_keys import check_key
from fedlit.settings.check_options import check_group, check_left_out, check_mounts, check_option, chooses_option
from fedlit.settings.check_values import check_composed, check_word
from fedlit.settings.comments import read_file
from fedlit.settings.compose import Composed, Composer
from fedlit.settings.folders import groups
from fedlit.settings.own_class import own_packages, rewrite
from fedlit.settings.presets import check_presets, left_over
from fedlit.settings.table import Table, table
from fedlit.settings.overrides import key_of, parse, sign, single_words


@dataclass(frozen=True)
class Checked:
    """Words that may be handed to Hydra, and what they compose to (for a sweep: its first job)."""

    words: list[str]
    composed: Composed


def check(words: Sequence[str], composer: Composer, *, sweeps: bool = False) -> Checked:
    """Check the words and give those for Hydra; InputError at the first that is wrong.

    `sweeps`: with `--multirun` a word may have several values, and each is checked.
    """
    overrides = parse(words, composer.loader)
    known_groups = set(composer.groups(words))
    for override in overrides:
        if override.is_sweep_override() and not sweeps:
            raise InputError(_no_sweep(override))
        if chooses_option(override, known_groups):
            check_option(override, lambda group: composer.options(group, words))
        else:
            check_group(override, known_groups)
    searched = [word for word in words if word.startswith("hydra.searchpath=")]
    options, sets = _parted(overrides, known_groups)
    plain = [option for option in options if option.package is None and sign(option) == ""]
    before = composer.compose([*searched, *next(_jobs(plain))])
    check_mounts(options, before)
    bases = [composer.compose([*searched, *job]) for job in _jobs(options)]
    own = own_packages(sets, before)
    if own:
        overrides = parse(rewrite(overrides, before, bases), composer.loader)
        options, sets = _parted(overrides, known_groups)
        bases = [composer.compose([*searched, *job]) for job in _jobs(options)]
    for override, base in itertools.product(sets, bases):
        if not any(key_of(override) == package or key_of(override).startswith(f"{package}.") for package in own):
            check_key(override, base, known_groups, _shipped_keys)
        check_word(override, table(base))
    ready = [*left_over(options, bases), *(_into_mapping(override, table(bases[0])) for override in overrides)]
    options, sets = _parted(parse(ready, composer.loader), known_groups)
    jobs = [composer.compose([*(single_words(override)[0] for override in sets), *job]) for job in _jobs(options)]
    for composed in jobs:
        check_left_out(options, composed, before)
        check_presets(composed)
        check_composed(composed)
    return Checked(ready, jobs[0])


def _into_mapping(override: Override, rules: Table) -> str:
    """The word, with a `++` where it sets keys of a mapping that takes any (`engine.options.x=1`)."""
    word, key = override.input_line or "", key_of(override)
    rule = rules.rules.get(key)
    whole = isinstance(override.value(), dict) and rule and rule.allowed and rule.allowed.takes("mapping")
    return f"++{word}" if sign(override) == "" and (whole or rules.open_above(key)) else word


def _parted(overrides: Sequence[Override], known_groups: set[str]) -> tuple[list[Override], list[Override]]:
    """The words that choose options, and those that set keys."""
    options = [override for override in overrides if chooses_option(override, known_groups)]
    return options, [override for override in overrides if override not in options]


def _jobs(options: Sequence[Override]) -> Iterator[list[str]]:
    """For each job of a sweep over options: its words."""
    return (list(job) for job in itertools.product(*(single_words(option) for option in options)))


def _shipped_keys() -> dict[str, dict[str, list[str]]]:
    """Group -> option -> its keys, for a key that another option has."""
    folder = folders.conf_folder()
    return {
        group: {
            option: [entry.key for entry in read_file(folder / group / f"{option}.yaml").entries] for option in options
        }
        for group, options in groups(folder).items()
    }


def _no_sweep(override: Override) -> str:
    word, key = override.input_line or "", key_of(override)
    value = word.partition("=")[2]
    return f"{word}: several values are a sweep; add --multirun to run each, or write {key}=[{value}] for a list."
