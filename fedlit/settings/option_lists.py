"""Overrides that choose a list of options, `uplink=[topk,clip]`, and what Hydra would take in another way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from fedlit.settings.closest import normalised, slips
from fedlit.settings.misfit import Misfit, Proposal
from fedlit.settings.option_names import STAGES, as_list, choosing
from fedlit.settings.overrides import for_shell, key_of, values
from fedlit.written_values import as_written

_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def check_list(override: Override, known: Sequence[str]) -> None:
    """Refuse a choice that Hydra would take in another way, and propose the list that is meant.

    That is a stage without brackets, an option twice (Hydra drops one), and `none` or null for no option.

    Args:
        known: the options of the group.
    """
    text, key, group = override.input_line or "", key_of(override), override.key_or_group
    if key == f"{group}@{group}":
        key = group
    if override.is_delete():
        if group in STAGES:
            raise Misfit(text, "the list is emptied, not left out", [Proposal((f"{key}=[]",), "write {}.")])
        return
    choices = values(override)
    reason = next((why for choice in choices if (why := _problem(choice, group, known))), None)
    if reason is None:
        return
    classes = [name for choice in choices for name in names_of(choice) if is_class(name, known)]
    options = [_options(choice, known) for choice in choices]
    lists = list(dict.fromkeys(as_list(group, of_choice) for of_choice in options))
    word = f"{key}={','.join(lists)}"
    proposals = [Proposal((word,), "write {}.")]
    if classes:
        short = ["mine"] if len(classes) == 1 else [normalised(name.rpartition(".")[2]) for name in classes]
        of_classes = [f"{key}.{name}._target_={target}" for name, target in zip(short, classes, strict=True)]
        proposals = [Proposal((word, *of_classes) if any(options) else tuple(of_classes), "a class is named by {}.")]
    elif len(lists) > 1 and not any(isinstance(choice, list) for choice in choices):
        together = for_shell(choosing(key, *dict.fromkeys(name for of_choice in options for name in of_choice)))
        proposals = [Proposal((word,), f"write {{}} for a run each, or {together} for one run.")]
    raise Misfit(text, reason, proposals)


def check_elements(override: Override, known: Sequence[str]) -> None:
    """Refuse elements of a list that are no names, such as `[{topk: {share: 0.1}}]` and `[topk:0.1]`."""
    text, key = override.input_line or "", key_of(override)
    for choice in values(override):
        for element in choice if isinstance(choice, list) else ():
            written = next(iter(element), "") if isinstance(element, dict | list) else element
            name = re.split("[:({=]", str(written))[0].strip()
            if not isinstance(element, dict | list) and (name == written or name not in known):
                continue
            phrase = f"write {{}}, and keys as words of their own, {key}.{name}.<key>=<value>."
            proposals = [Proposal((choosing(key, name),), phrase)] if name in known else []
            otherwise = f"write {key}=[<option>,...], and keys as words of their own, {key}.<option>.<key>=<value>."
            raise Misfit(text, "a list holds names of options alone", proposals, otherwise)


def with_other_name(override: Override, name: str, option: str) -> str:
    """The override with another option, in a list or a sweep with the others as they are: `uplink=[clip,topk]` for
    `uplink=[clip,top_k]`."""
    head, _, written = (override.input_line or "").partition("=")
    pattern = re.compile(rf"(?<![\w./-]){re.escape(name)}(?![\w./-])")
    return f"{head}={pattern.sub(option, written) if pattern.search(written) else option}"


def is_class(name: str, known: Sequence[str]) -> bool:
    """Whether a name is an import path such as `mine.Stage`."""
    return name not in known and bool(_CLASS.fullmatch(name))


def names_of(choice: Any) -> list[str]:
    """The names in one choice: those of a list, or the only one."""
    if choice is None:
        return []
    names = choice if isinstance(choice, list) else [choice]
    return ["none" if name is None else as_written(name) for name in names]


def _problem(choice: Any, group: str, known: Sequence[str]) -> str | None:
    """What is wrong with one choice; an unknown option is no matter of this check."""
    names = names_of(choice)
    if choice is None or names == [""]:
        return "null is no option" if choice is None else "there is no option in it"
    if isinstance(choice, list) and None in choice:
        return "null is no option"
    if isinstance(choice, list) and not names:
        return None if group in STAGES else "the list is empty"
    if (path := next((name for name in names if is_class(name, known)), None)) is not None:
        return f"there is no {group} named {path}"
    if group in STAGES and "none" in names:
        return "no stage is an empty list"
    if group in STAGES and not isinstance(choice, list):
        return f"{group} is a list"
    if "none" in names and len(set(names)) > 1:
        return "none stands for no option, and others are in the list"
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else f"{twice} is in the list twice"


def _options(choice: Any, known: Sequence[str]) -> list[str]:
    """The options that a choice may mean, each once, without `none` and classes."""
    options: dict[str, None] = {}
    for name in names_of(choice):
        similar = [] if name in known else slips(name, known)
        if name not in ("none", "") and not is_class(name, known):
            options[similar[0] if len(similar) == 1 else name] = None
    return list(options)
