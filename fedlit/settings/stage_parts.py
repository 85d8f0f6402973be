"""The stages of `uplink` and `downlink`: a key of a stage needs the stage, in each run of a sweep."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from fedlit.errors import InputError
from fedlit.settings import folders
from fedlit.settings.closest import closest, listed, normalised
from fedlit.settings.comments import read_file
from fedlit.settings.compose import Composed
from fedlit.settings.known_names import known_name
from fedlit.settings.misfit import Misfit, Proposal, WrongValue, meant
from fedlit.settings.option_names import OTHER_SWEEP, STAGES, choosing
from fedlit.settings.overrides import for_shell, key_of, leaves, values
from fedlit.written_values import as_written

PLACES = ("attack", "compress", "limit", "seal", "transit")  # as `messages.stages.base.Place`, which imports torch
Options = Mapping[str, Mapping[str, Sequence[str]]]  # group -> option -> its keys


def check_stage_keys(settings: Sequence[Override], jobs: Sequence[Composed], options: Callable[[], Options]) -> None:
    """Refuse a key of a stage that a run has not, and a mapping whose order Hydra would change.

    Args:
        settings: the overrides that set keys.
        jobs: the configuration of each run of a sweep, before these are set.
        options: gives the options of each group, called only if a stage is missing.
    """
    of_users = {name for override in settings for name in _with_class(override)}
    for override in settings:
        group, _, name = key_of(override).partition(".")
        if group not in STAGES:
            continue
        if override.is_delete():
            _check_deletion(override, group, name, jobs)
            continue
        for value in values(override):
            for key, inner in leaves(key_of(override), value):
                _check_key(override, key, inner, of_users, jobs, options)
            if not name and isinstance(value, dict):
                _check_order(override, group, list(map(str, value)), jobs)


def _check_deletion(override: Override, group: str, name: str, jobs: Sequence[Composed]) -> None:
    """Refuse `~uplink.topk`."""
    text, stage = override.input_line or "", name.partition(".")[0]
    if name in jobs[0].choices[group]:
        others = [option for option in jobs[0].choices[group] if option != name]
        raise Misfit(text, "a stage is left out of the list", [Proposal((choosing(group, *others),), "write {}.")])
    if any(f"{group}.{stage}" not in job.keys for job in jobs):
        raise Misfit(text, f"{group} has no {stage}", [Proposal((), "leave it out.")])


def _with_class(override: Override) -> list[str]:
    """The stages for which an override names a class: `uplink.mine` for `uplink.mine._target_=mine.Stage`."""
    keys = [key for value in values(override) for key, _ in leaves(key_of(override), value)]
    return [key.removesuffix("._target_") for key in keys if key.endswith("._target_")]


def _check_key(
    override: Override,
    key: str,
    value: Any,
    of_users: set[str],
    jobs: Sequence[Composed],
    all_options: Callable[[], Options],
) -> None:
    text = override.input_line or ""
    group, *parts = key.split(".")
    if not parts or parts == ["_target_"]:
        if not parts and value == {} and any(job.keys.get(group) for job in jobs):
            raise Misfit(text, "a mapping takes no stage away", [Proposal((choosing(group),), "write {}.")])
        return  # `check_stages` has the sentence for a class without a name
    stage = f"{group}.{parts[0]}"
    if stage in of_users:
        return
    lacking = [job for job in jobs if f"{stage}._target_" not in job.keys]
    if not lacking and (len(parts) > 1 or value == {}):
        return
    options = all_options().get(group, {})
    if key != key_of(override):  # in a mapping
        of_class = f"{group}.{parts[0]}._target_=mine.{_class_name(parts[0])} for a class of your own"
        advice = (
            f"{for_shell(choosing(group, parts[0]))} for the option, or {of_class}" if parts[0] in options else of_class
        )
        raise InputError(f"{text}: {stage} names no class; write {advice}.")
    if len(parts) == 1:
        raise _no_key(override, group, parts[0], jobs, options)
    if len(lacking) < len(jobs):
        chosen = for_shell(choosing(group, *lacking[0].choices[group]))
        having = list(dict.fromkeys(choosing(group, *job.choices[group]) for job in jobs if job not in lacking))
        raise Misfit(
            text,
            f"the runs with {chosen} have no {parts[0]}",
            [],
            f"write {listed(for_shell(word) for word in having)} {for_shell(text)} {OTHER_SWEEP}",
        )
    raise _not_chosen(override, group, parts[0], jobs[0], options)


def _not_chosen(
    override: Override, group: str, name: str, job: Composed, options: Mapping[str, Sequence[str]]
) -> Misfit:
    """The misfit of `uplink.topk.share=0.1` without topk."""
    text, chosen = override.input_line or "", job.choices[group]
    rest = text.partition(".")[2].partition(".")[2]
    near = name if name in options or name in chosen else closest(name, [*chosen, *options])
    reason = f"{name} is not chosen" if name in options else f"{group} has no {name}"
    if near is None:
        of_class = f"{group}.{name}._target_=mine.{_class_name(name)}"
        otherwise = f"the options are {listed(options)}; a class of your own is {of_class}."
        return Misfit(text, reason, [], known_name(group, name, group) or otherwise)
    corrected = f"{group}.{near}.{rest}"
    if near in chosen:
        return Misfit(text, reason, [meant(corrected)], f"the stages are {listed(chosen)}.")
    if chosen:
        names = sorted([*chosen, near], key=lambda option: _place(group, option))
        return Misfit(text, reason, [], f"add {near} to the list, {for_shell(choosing(group, *names))}.")
    words = (choosing(group, near), corrected)
    return Misfit(
        text,
        reason,
        [
            Proposal(words, "write {}."),
            Proposal((words[0],), f"write {{}}, and its keys as {group}.{near}.<key>=<value>."),
        ],
    )


def _place(group: str, option: str) -> int:
    """Where a shipped stage stands among others, by the head of its YAML; others stand last."""
    file = folders.conf_folder() / group / f"{option}.yaml"
    match = re.search(r"Place: (\w+)", read_file(file).source) if file.is_file() else None
    return PLACES.index(match[1]) if match else len(PLACES)


def _no_key(
    override: Override, group: str, name: str, jobs: Sequence[Composed], options: Mapping[str, Sequence[str]]
) -> Misfit:
    """The misfit of `uplink.topk=0.1`, `uplink.share=0.1` and the like."""
    text, chosen = override.input_line or "", jobs[0].choices[group]
    value = text.partition("=")[2]

    def keys(option: str) -> list[str]:
        inner = [key.removeprefix(f"{option}.") for key in options.get(option, ()) if key.startswith(f"{option}.")]
        return [key for key in inner if not key.startswith("_")]

    if name in chosen or name in options:
        choice = [] if name in chosen else [choosing(group, *chosen, name)]
        proposals = [
            Proposal((*choice, f"{group}.{name}.{key}={value}"), "write for example {}.") for key in keys(name)
        ]
        proposals += [Proposal((word,), "write {}.") for word in choice]
        return Misfit(text, f"{name} is a stage", proposals, f"write {group}.{name}.<key>=<value>.")
    having = [option for option in [*chosen, *options] if name in keys(option)]
    if having and (having[0] in chosen or len(having) == 1):
        choice = [] if having[0] in chosen else [choosing(group, *chosen, having[0])]
        words = (*choice, f"{group}.{having[0]}.{name}={value}")
        return Misfit(text, "a key stands under the name of its stage", [Proposal(words, "write {}.")])
    if having:
        reason = f"a key stands under the name of its stage, and {listed(having)} have {name}"
        return Misfit(text, reason, [], f"write {group}.<stage>.{name}={value}.")
    near = closest(name, [*chosen, *options])
    if near is not None:
        return Misfit(text, f"{group} has no {name}", [Proposal((choosing(group, near),))])
    return Misfit(
        text, f"{group} has a class under each name", [], known_name(group, name, group) or _own_class(group, name)
    )


def _check_order(override: Override, group: str, names: list[str], jobs: Sequence[Composed]) -> None:
    """Refuse `uplink={mine: {...}, topk: {...}}` beside `uplink=[topk]`: topk would stay the first."""
    for job in jobs:
        chosen = list(job.keys.get(group) or {})
        composed = [*(name for name in chosen if name in names), *(name for name in names if name not in chosen)]
        if composed != names:
            raise InputError(
                f"{override.input_line}: the stages of {choosing(group, *job.choices[group])} come first, so that the "
                f"order would be {', '.join(composed)}; write a class of your own as an option {group}/<name>.yaml "
                f"beginning with `# @package {group}.<name>`, and all names in the list."
            )


def check_stages(group: str, value: Any) -> None:
    """Refuse stages without a name or a class.

    Args:
        group: `uplink` or `downlink`.
        value: of the whole configuration.
    """
    if not isinstance(value, Mapping):
        names = value if isinstance(value, list | tuple) else [value]
        raise WrongValue(
            group, f"{group}={as_written(value)}: {group} has a class under each name; {_stage(group, names)}"
        )
    for name, stage in value.items():
        if name == "_target_":
            short = normalised(str(stage).rpartition(".")[2]) or "mine"
            raise WrongValue(
                group,
                f"{group}._target_={as_written(stage)}: a stage has a name; write for example "
                f"{group}.{short}._target_={as_written(stage)}.",
            )
        if not isinstance(stage, Mapping) or "_target_" not in stage:
            shown = stage if not isinstance(stage, Mapping) else dict(stage)
            raise WrongValue(group, f"{group}.{name}={as_written(shown)}: this names no class; {_stage(group, [name])}")


def _stage(group: str, names: Any) -> str:
    """The advice for stages that were asked for by name."""
    for name in names:
        if isinstance(name, str) and (advice := known_name(group, name, group)):
            return advice
    words = [name for name in names if isinstance(name, str) and name.isidentifier()]
    return (
        _own_class(group, words[0])
        if words
        else f"write {group}=[] for no stage, or {_own_class(group, 'mine').removeprefix('write ')}"
    )


def _own_class(group: str, name: str) -> str:
    return f"write {group}.{name}._target_=mine.{_class_name(name)} for a class of your own."


def _class_name(name: str) -> str:
    return name.title().replace("_", "")
