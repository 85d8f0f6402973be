"""Every YAML file of conf/ is complete: a sentence at its head, and for each key a meaning, a range, a default."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fedlit.settings.check import check
from fedlit.settings.comments import read_file
from fedlit.settings.compose import composer
from fedlit.settings.folders import conf_folder, groups
from fedlit.settings.help import defaults

FILES = sorted(file.relative_to(conf_folder()) for file in conf_folder().rglob("*.yaml"))
PRESETS = [f"{group}={name}" for group in ("experiment", "debug") for name in groups(conf_folder()).get(group, [])]


@pytest.mark.parametrize("name", FILES, ids=str)
def test_every_key_has_a_meaning_a_range_and_an_allowed_default(name: Path):
    file = read_file(conf_folder() / name)
    values = OmegaConf.load(conf_folder() / name)
    assert file.about.endswith("."), "the first comment is one sentence on what the option is"
    if file.preset:
        return  # its keys are explained where they belong
    for entry in file.entries:
        if entry.default == "" and OmegaConf.is_dict(OmegaConf.select(values, entry.key)):
            continue
        assert entry.meaning and entry.allowed, f"line {entry.line}: {entry.key} needs '# meaning [what is allowed]'"
        above, _, key = entry.key.rpartition(".")
        node = OmegaConf.select(values, above) if above else values
        if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key):
            continue
        value = node[key]
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        assert entry.allowed.accepts(plain), f"line {entry.line}: {entry.key}={plain} is not [{entry.allowed.text}]"


def test_every_option_that_config_yaml_chooses_exists():
    known = groups(conf_folder())
    chosen = [
        (group, option)
        for group, choice in defaults(conf_folder()).items()
        for option in (choice if isinstance(choice, list) else [choice])
        if option is not None
    ]
    assert [(group, option) for group, option in chosen if option not in known.get(group.partition("@")[0], [])] == []


@pytest.mark.parametrize("override", [*PRESETS, "tune=lr"])
def test_presets_compose_and_fit_the_options_they_choose(override):
    if override == "tune=lr" and find_spec("optuna") is None:
        pytest.skip("needs hydra-optuna-sweeper: pip install 'fedlit[optuna]'")
    with composer() as made:
        check([override], made)
