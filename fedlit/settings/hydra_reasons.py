"""Hydra's reasons why a configuration does not compose, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from fedlit.settings.closest import closest, listed, slips
from fedlit.settings.known_names import known_name, plugin_package

COMPOSING_ERRORS = (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError)  # of a file of the user's


def reason(error: Exception, places: Sequence[str] = ()) -> str:
    """Why it does not compose, in one sentence; `places` are the groups, and where options are mounted."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: this is no YAML ({error.problem}); mend the line."
    reasons = [str(error), *([str(error.__cause__)] if isinstance(error.__cause__, OmegaConfBaseException) else [])]
    lines = [line.strip() for reason in reasons for line in reason.splitlines() if line.strip()]
    text = " ".join(lines).partition(" Config search path:")[0]
    for pattern, explain in _SENTENCES:
        if match := re.search(pattern, text):
            return explain(match, places)
    sentence = f"The configuration does not compose: {text}"
    package = plugin_package(sentence)
    return sentence if package is None else f"{sentence} It comes with a package of its own: pip install {package}"


def _not_overridden(match: re.Match[str], places: Sequence[str]) -> str:
    """`override model: net`, where a group is written without its slash or the file without its package."""
    file, choice = match["file"], match["choice"]
    name, _, package = choice.partition("@")
    above = file.rpartition("/")[0]  # experiment/paper of experiment=paper/table_1
    sentence = f"{file}: `override {choice}` of its defaults list overrides nothing"
    inside = name.removeprefix(f"{above}/") if above else name
    if inside != name and inside in places:
        return f"{sentence}; write a slash before the group, `override /{inside}: <option>`."
    if above and package.startswith(f"{above.partition('/')[0]}."):
        return f"{sentence}; write `# @package _global_` as the first line of the file."
    near = None if choice in places else closest(choice, places)
    if near is not None:
        return f"{sentence}; did you mean `override /{near}: <option>`?"
    return f"{sentence}; no option is chosen there: leave it out, or choose another option above it."


def _chosen_twice(match: re.Match[str], places: Sequence[str]) -> str:
    choice, option = match["choice"], match["option"]
    return f"{choice}={option}: the defaults lists choose {choice} twice; write `override /{choice}: {option}`."


def _no_file(match: re.Match[str], places: Sequence[str]) -> str:
    group, _, option = match["option"].rpartition("/")
    options = (match["options"] or "").split()
    names = slips(option, options)
    advice = known_name(group, option, group.replace("/", ".")) or f"the options are {listed(options)}."
    if names:
        advice = f"did you mean {listed(names)}?"
    return f"{group}={option}: a defaults list chooses it, and there is no {group} named {option}; {advice}"


def _list_of_options(match: re.Match[str], places: Sequence[str]) -> str:
    return (
        f"{match['file']}: a list stands in it where keys are; options are chosen in its defaults list, such as "
        "`override /uplink: [<option>]`."
    )


def _no_primary(match: re.Match[str], places: Sequence[str]) -> str:
    name = match["name"]
    return f"--config-name {name}: there is no file {name}.yaml; write -cd <folder> for the folder that holds it."


_SENTENCES: list[tuple[str, Callable[[re.Match[str], Sequence[str]], str]]] = [
    (r"In '(?P<file>[^']+)': Could not override '(?P<choice>[^']+)'", _not_overridden),
    (r"Multiple values for .*To override a value use 'override (?P<choice>[^']+): (?P<option>[^':]+)'", _chosen_twice),
    (r"Could not find '(?P<option>[^']+/[^']+)'(?: Available options in '[^']*': (?P<options>.*))?", _no_file),
    (r"In '(?P<file>[^']+)': .*Cannot merge DictConfig with ListConfig", _list_of_options),
    (r"Cannot find primary config '(?P<name>[^']+)'", _no_primary),
]
