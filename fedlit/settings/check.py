"""All overrides of a command line checked before anything is run: options, keys, values, in each job of a sweep."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings import folders
from fedlit.settings.check_keys import check_key_in_jobs
from fedlit.settings.check_options import (
    check_chosen,
    check_group,
    check_left_out,
    check_mounts,
    check_option,
    chooses_nothing,
    chooses_option,
)
from fedlit.settings.check_protocols import check_protocols, check_unused, explain
from fedlit.settings.check_values import check_composed, check_override
from fedlit.settings.closest import closest_key, listed
from fedlit.settings.comments import keys_and_mounts, read_file
from fedlit.settings.compose import SEARCH_PATH, Composed, Composer
from fedlit.settings.folders import groups
from fedlit.settings.misfit import Misfit, Proposal, WrongValue
from fedlit.settings.option_names import choosing
from fedlit.settings.overrides import MissingValue, assignment, for_shell, key_of, parse, sign, single_overrides
from fedlit.settings.presets import check_presets, left_over
from fedlit.settings.stage_parts import check_stage_keys
from fedlit.settings.table import Table
from fedlit.settings.user_class import (
    check_replaced,
    emptied_packages,
    is_inside,
    names_class,
    preset_packages,
    replaced_packages,
    rewrite,
    user_packages,
)


@dataclass(frozen=True)
class Checked:
    """Overrides that may be handed to Hydra, and their configuration (for a sweep: that of its first job)."""

    overrides: list[str]
    composed: Composed


def check(given: Sequence[str], composer: Composer, *, sweeps: bool = False) -> Checked:
    """Check the overrides and give those for Hydra; InputError at the first that is wrong.

    A configuration is composed once. If the overrides have to be rewritten (for a class of the user's, for a key that a
    preset left over) it is composed again, and so is a wrong one, to name the mistake. What is proposed in place of a
    wrong override is checked as well before it is printed.

    `sweeps`: with `--multirun` an override may have several values, and each is checked.
    """
    try:
        return _check(given, composer, sweeps)
    except Misfit as misfit:
        raise InputError(_explained(misfit, given, composer, sweeps)) from None


def _explained(misfit: Misfit, given: Sequence[str], composer: Composer, sweeps: bool) -> str:
    """The sentence of a misfit, with a proposal that is known to compose."""

    def problem(proposal: Proposal) -> InputError | None:
        words = [word for text in given for word in (proposal.words if text == misfit.text else (text,))]
        keys = [word.lstrip("+~").partition("=")[0] for word in proposal.words]
        try:
            _check(words, composer, sweeps)
        except Misfit as inner:
            if inner.text not in proposal.words:
                return None  # another override is wrong as well
            return InputError(_explained(inner, words, composer, sweeps)) if proposal.name else inner
        except WrongValue as error:
            return error if any(error.key == key or error.key.startswith(f"{key}.") for key in keys) else None
        except InputError as error:
            return error
        return None

    return misfit.sentence(problem)


def _check(given: Sequence[str], composer: Composer, sweeps: bool) -> Checked:
    known_groups = set(composer.groups(given))
    try:
        overrides = parse(given, composer.loader)
        if any(map(chooses_nothing, overrides)):
            given = _left_out(given, overrides, composer)
            overrides = parse(given, composer.loader)
    except MissingValue as error:
        raise InputError(_without_value(error.text, given, composer, known_groups)) from None
    for override in overrides:
        if override.is_sweep_override() and not sweeps:
            raise _no_sweep(override)
        if chooses_option(override, known_groups):
            check_option(override, lambda group: composer.options(group, given), sorted(known_groups))
        else:
            check_group(override, known_groups)
    options, settings = _split(overrides, known_groups)
    to_rewrite = any(names_class(override) and sign(override) == "" for override in settings)
    jobs = None if to_rewrite else _compose_jobs(overrides, options, composer)
    plain = [option for option in options if option.package is None and sign(option) == ""]
    if jobs is None or any(sign(option) for option in options):
        try:
            composed = _compose_options(given, plain, composer)
        except InputError:
            explain(overrides, options, lambda choices: _compose_options(given, choices, composer), composer.config_dir)
            check_chosen(plain, _compose_options(given, [], composer)[0])
            raise
    else:
        composed = jobs
    before = composed[0]
    check_protocols(overrides, jobs or composed)
    replaced = replaced_packages(overrides, before)
    emptied = emptied_packages(overrides, before)
    outside = [option for option in options if not is_inside(option, emptied)]
    check_replaced(settings, options, replaced, before)
    check_mounts(outside, before, _is_own_option, _shipped_keys)
    bases = jobs or _compose_options(given, outside, composer)
    of_user = [*user_packages(settings, before), *preset_packages(overrides, bases)]
    if of_user:
        overrides = parse(rewrite(overrides, before, bases), composer.loader)
        options, settings = _split(overrides, known_groups)
        jobs = _compose_jobs(overrides, options, composer)
    if jobs is None:
        jobs = _compose_options(given, options, composer)
    check_stage_keys(settings, jobs, _shipped_keys)
    for override in settings:
        if not any(key_of(override) == package or key_of(override).startswith(f"{package}.") for package in of_user):
            check_key_in_jobs(override, jobs, known_groups, _shipped_keys)
        for job in jobs:
            check_override(override, job.table)
    ready = [*left_over(options, jobs), *(_into_mapping(override, jobs[0].table) for override in overrides)]
    overrides = parse(ready, composer.loader)
    options, _ = _split(overrides, known_groups)
    jobs = [composer.compose(job) for job in _job_overrides(overrides, options)]
    for job in jobs:
        check_left_out(options, job, before)
        check_unused(job)
        check_presets(job)
        check_composed(job)
    return Checked(ready, jobs[0])


def _left_out(given: Sequence[str], overrides: Sequence[Override], composer: Composer) -> list[str]:
    """The words with `reduction=null` as Hydra takes it: nothing, or `~reduction` where a preset chooses one."""
    last = {key_of(override): override for override in overrides}
    nothing = [key for key, override in last.items() if chooses_nothing(override)]
    rest = [o for o in overrides if key_of(o) not in nothing and not chooses_nothing(o)]
    words = [override.input_line or "" for override in rest]
    options = [o for o in rest if chooses_option(o, set(composer.groups(given))) and not o.package and not sign(o)]
    try:
        jobs = _compose_options(words, options, composer)
    except InputError:
        explain(overrides, options, lambda chosen: _compose_options(words, chosen, composer), composer.config_dir)
        raise
    check_protocols(overrides, jobs)
    choices = jobs[0].choices
    return [*words, *(f"~{key}" for key in nothing if choices[key] is not None)]


def _compose_jobs(
    overrides: Sequence[Override], options: Sequence[Override], composer: Composer
) -> list[Composed] | None:
    """The configuration of each job of a sweep over options; None if one does not compose."""
    try:
        return [composer.compose(job) for job in _job_overrides(overrides, options)]
    except InputError:
        return None


def _compose_options(given: Sequence[str], options: Sequence[Override], composer: Composer) -> list[Composed]:
    """The configuration of the options alone, for each job of a sweep over options."""
    search_path = [override for override in given if override.startswith(SEARCH_PATH)]
    return [composer.compose([*search_path, *job]) for job in _job_overrides(options, options)]


def _job_overrides(overrides: Sequence[Override], options: Sequence[Override]) -> list[list[str]]:
    """For each job of a sweep over options: its overrides, with the first value of those that set keys."""
    choices = [single_overrides(override) for override in overrides]
    shown = [texts if override in options else texts[:1] for override, texts in zip(overrides, choices, strict=True)]
    return [list(job) for job in itertools.product(*shown)]


def _into_mapping(override: Override, table: Table) -> str:
    """The override, with a `++` where it sets keys of a mapping that takes any (`engine.options.x=1`)."""
    text, key = override.input_line or "", key_of(override)
    rule = table.rules.get(key)
    is_mapping = isinstance(override.value(), dict) and rule and rule.allowed and rule.allowed.takes("mapping")
    return f"++{text}" if sign(override) == "" and (is_mapping or table.open_above(key)) else text


def _split(overrides: Sequence[Override], known_groups: set[str]) -> tuple[list[Override], list[Override]]:
    """The overrides that choose options, and those that set keys."""
    options = [override for override in overrides if chooses_option(override, known_groups)]
    return options, [override for override in overrides if override not in options]


def _shipped_keys() -> dict[str, dict[str, list[str]]]:
    """Group -> option -> its keys, for the advice that another option has a key."""
    folder = folders.conf_folder()
    return {
        group: {option: keys_and_mounts(read_file(folder / group / f"{option}.yaml"), group) for option in options}
        for group, options in groups(folder).items()
    }


def _is_own_option(group: str, option: str) -> bool:
    """Whether an option is not shipped."""
    return option not in groups(folders.conf_folder()).get(group.partition("@")[0], [])


def _without_value(text: str, given: Sequence[str], composer: Composer, known_groups: set[str]) -> str:
    """The sentence for `fedprox` or `clients`, a word without a value."""
    word = text.lstrip("+")
    following = given[given.index(text) + 1 :]
    keys = sorted({*known_groups, *composer.compose([]).keys})
    if word in keys and len(following) > 1 and following[0] == "=":
        return f"{text}: an override has no spaces; write {for_shell(f'{word}={following[1]}')}."
    if word in keys:
        return f"{text}: a value is missing; write {word}=<value>."
    group, _, option = word.partition(".")
    having = [other for other in sorted(known_groups) if word in composer.options(other, given)]
    if option and group in known_groups and option in composer.options(group, given):
        having, word = [group], option
    if having:
        meant = listed(for_shell(choosing(other, word)) for other in having)
        return f"{text}: an option is written with its group; did you mean {meant}?"
    near = closest_key(word, keys)
    advice = f"did you mean {near}=<value>?" if near else "write key=value or group=option; --help lists both."
    return f"{text}: there is no key {word}, and a value is missing; {advice}"


def _no_sweep(override: Override) -> Misfit:
    text, key = override.input_line or "", override.get_key_element()
    value = text.partition("=")[2]
    proposals = [
        Proposal((written,), f"add --multirun to run each, or write {{}} for {kind}.")
        for written, kind in ((f"{key}=[{value}]", "a list"), (assignment(key, value), "a text"))
    ]
    return Misfit(text, "several values are a sweep", proposals, "add --multirun to run each, or give one.")
