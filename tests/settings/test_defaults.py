"""A default that stands in a YAML file of conf/ and in the signature of the class named by `_target_` is the same."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from omegaconf import OmegaConf

from fedlit.settings.classes import RUN_KEYS, locate
from fedlit.settings.compose import composer
from fedlit.settings.folders import conf_folder, groups

OPTIONS = [
    (group, option)
    for group, options in groups(conf_folder()).items()
    if group not in ("experiment", "debug")  # presets have no class
    for option in options
]
NOT_ARGUMENTS = ("_target_", "_partial_", "_convert_", "_recursive_", "defaults")
DIFFERENT = {  # (option, key) -> why
    **{
        ("data/heart_disease_4_hospitals", key): "describes this data set; csv_sites itself knows none"
        for key in ("name", "root", "sites", "download_from", "target", "target_above", "header", "missing")
    },
    ("data/synthetic", "sites"): "a site for each client of the run; called from Python, the paper's 30",
}


def compared() -> Iterator[tuple[str, str, Any, Any]]:
    """(option, key, value in YAML, default in Python) of every class of fedlit's.

    Interpolations such as `${participation}` are resolved in the default configuration.
    """
    with composer() as made:
        config = made.compose([]).config
    OmegaConf.set_struct(config, False)
    for group, option in OPTIONS:
        config[group] = OmegaConf.load(conf_folder() / group / f"{option}.yaml")
        node = OmegaConf.to_container(config[group], resolve=True)
        assert isinstance(node, dict)
        target = str(node.get("_target_", ""))
        if target.startswith("fedlit."):
            parameters = inspect.signature(locate(target, group)).parameters
            of_run = {*RUN_KEYS.get(group, ())} - {*parameters}
            for key in [key for key in node if key not in (*NOT_ARGUMENTS, *of_run)]:
                yield f"{group}/{option}", key, node[key], default(target, parameters[key])


def default(target: str, parameter: inspect.Parameter) -> Any:
    """What Python takes where the argument is left out."""
    cls = locate(target, "")
    for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
        if field.name == parameter.name and field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
    return parameter.default


def plain(value: Any) -> Any:
    """Tuples as lists, as YAML has them; a mapping of nothing but zeros and `false` as None: both switch it off."""
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, dict) and value and not any(value.values()):
        return None
    return value


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str, Any, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FEDLIT_DATA", raising=False)
        return list(compared())


def test_each_default_is_the_same_in_yaml_and_in_python(pairs):
    different = {
        f"{option}: {key}": f"{in_yaml!r} in YAML, {in_python!r} in Python"
        for option, key, in_yaml, in_python in pairs
        if (option, key) not in DIFFERENT
        and in_python is not inspect.Parameter.empty
        and plain(in_yaml) != plain(in_python)
    }
    assert different == {}
    assert len(pairs) > 80


def test_each_exception_differs(pairs):
    both = {(option, key): (in_yaml, in_python) for option, key, in_yaml, in_python in pairs}
    assert [key for key in DIFFERENT if plain(both[key][0]) == plain(both[key][1])] == []


def test_every_option_of_fedlits_own_classes_is_compared(pairs):
    with_keys = set()
    for group, option in OPTIONS:
        node = OmegaConf.load(conf_folder() / group / f"{option}.yaml")
        if str(node.get("_target_", "")).startswith("fedlit.") and set(node) - {"_target_", "defaults"}:
            with_keys.add(f"{group}/{option}")
    assert with_keys - {option for option, *_ in pairs} == set()
