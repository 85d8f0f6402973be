"""A file of the user's that does not compose is refused in one sentence, and what it says to write composes."""

from __future__ import annotations

import pytest

from fedlit.errors import InputError
from fedlit.settings.compose import composer
from tests.settings.conftest import write_options
from tests.slow import some_slow

GLOBAL = "# @package _global_\n"
OVERRIDE = "defaults:\n  - override /model: net\n"
NET = {"model/net.yaml": "_target_: mine.Net\n"}

FILES = {  # what is wrong -> file of the user's, its text, the end of the sentence
    "no slash": (
        "experiment/mine",
        f"{GLOBAL}defaults:\n  - override model: net\n",
        "write a slash before the group, `override /model: <option>`.",
    ),
    "no package": ("experiment/mine", OVERRIDE, "write `# @package _global_` as the first line of the file."),
    "no package in a folder": ("experiment/paper/one", OVERRIDE, "as the first line of the file."),
    "no override": ("experiment/mine", f"{GLOBAL}defaults:\n  - /model: net\n", "write `override /model: net`."),
    "a group that is no group": (
        "experiment/mine",
        f"{GLOBAL}defaults:\n  - override /modle: net\n",
        "did you mean `override /model: <option>`?",
    ),
    "a place that is no place": (
        "experiment/mine",
        f"{GLOBAL}defaults:\n  - override /optimizer@aggregator.server_optimiser: adam\n",
        "did you mean `override /optimizer@aggregator.server_optimizer: <option>`?",
    ),
    "an option that is none": (
        "experiment/mine",
        f"{GLOBAL}defaults:\n  - override /model: nett\n",
        "model=nett: a defaults list chooses it, and there is no model named nett; did you mean net?",
    ),
    "a tabulator": ("experiment/mine", f"{GLOBAL}model:\n\thidden: 3\n", "cannot start any token); mend the line."),
    "an open bracket": ("experiment/mine", f"{GLOBAL}rounds: [1, 2\n", "mend the line."),
    "a key twice": ("experiment/mine", f"{GLOBAL}rounds: 1\nrounds: 2\n", "duplicate key rounds); mend the line."),
    "an interpolation": (
        "experiment/mine",
        f"{GLOBAL}batch_size: ${{missing.key}}\n",
        "'missing.key' not found; set it to a value, or to a key that exists.",
    ),
    "a number from the environment": (
        "experiment/mine",
        f"{GLOBAL}batch_size: ${{oc.env:FEDLIT_NO_SUCH,16}}\n",
        "write it without quotes, or ${oc.decode:${oc.env:NAME}} for a variable of the environment.",
    ),
}
QUICK = ["no slash", "no package in a folder", "no override", "a tabulator", "a number from the environment"]


@pytest.mark.parametrize("case", some_slow(FILES, QUICK))
def test_a_wrong_file_is_refused_in_one_sentence(checked, tmp_path, case):
    name, text, end = FILES[case]
    folder = write_options(tmp_path, {**NET, f"{name}.yaml": text})
    with pytest.raises(InputError) as error:
        checked(f"experiment={name.removeprefix('experiment/')}", config_dir=folder)
    assert str(error.value).endswith(end)
    assert "\n" not in str(error.value) and "provider=" not in str(error.value)


def test_a_right_file_composes_also_in_a_folder(checked, tmp_path):
    folder = write_options(tmp_path, {**NET, "experiment/paper/one.yaml": GLOBAL + OVERRIDE})
    config = checked("experiment=paper/one", config_dir=folder).composed.config
    assert config.model._target_ == "mine.Net" and "hidden" not in config.model


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("defaults:\n  - model: mlp\nrounds: 1\n", "--config-name mine: keys of fedlit are missing in it"),
        ("defaults:\n\t- config\n", "mine.yaml, line 2: this is no YAML"),
        (None, "--config-name mine: there is no file mine.yaml; write -cd <folder>"),
    ],
)
def test_a_wrong_primary_configuration_is_refused(use_small_conf, tmp_path, text, part):
    folder = write_options(tmp_path, {} if text is None else {"mine.yaml": text})
    with composer("mine", folder) as made, pytest.raises(InputError) as error:
        made.options("model")
        made.compose([])
    assert part in str(error.value)


CLASSES = {
    **NET,
    "experiment/plain.yaml": f"{GLOBAL}rounds: 2\n",
    "experiment/option.yaml": GLOBAL + OVERRIDE,
    "experiment/inside.yaml": f"{GLOBAL}model:\n  _target_: mine.Net\n  width: 3\n",
    "experiment/other.yaml": f"{GLOBAL}model:\n  _target_: mine.Other\n",
}


@pytest.mark.parametrize("presets", ["plain,inside", "inside,option"])
def test_a_sweep_in_which_only_some_presets_have_a_class_is_refused(checked, tmp_path, presets):
    folder = write_options(tmp_path, CLASSES)
    with pytest.raises(InputError, match="experiment/inside names a class for model, and another run of this sweep"):
        checked(f"experiment={presets}", sweeps=True, config_dir=folder)


@pytest.mark.parametrize("presets", ["plain,option", "inside,other"])
def test_a_sweep_in_which_all_or_none_have_a_class_is_not(checked, tmp_path, presets):
    checked(f"experiment={presets}", sweeps=True, config_dir=write_options(tmp_path, CLASSES))
