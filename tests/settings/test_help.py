"""The help page and the list of options for the docs, made from the comments."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlit.errors import InputError
from fedlit.settings.classes import RUN_KEYS
from fedlit.settings.folders import conf_folder
from fedlit.settings.help import EXAMPLES, FLAGS, OF_USER_CLASSES, help_text
from fedlit.settings.option_list import option_list

CHECKOUT = Path(__file__).parents[2]


def test_the_page_lists_keys_groups_examples_and_flags(use_small_conf):
    page = help_text()
    flat = " ".join(page.split())
    for shown in (
        "clients=10 number of clients [int >= 1]",
        "checkpoint.every=60 least time between two, seconds [float >= 0]",
        "* iid Equal shards.",
        "dirichlet Label skew.",
        "paper A preset.",
    ):
        assert shown in flat
    assert len(EXAMPLES) == 5
    assert all(left in page for left, _ in (*EXAMPLES, *FLAGS))


def test_the_page_of_a_group_lists_the_keys_of_its_options(use_small_conf):
    page = " ".join(help_text(["partition", "experiment"]).split())
    assert "partition=dirichlet Label skew. Hsu et al. 2019." in page
    assert "partition.alpha=0.5 concentration; small is skewed [float > 0]" in page
    assert "_target_" not in page
    assert "model.channels=8" in page
    with pytest.raises(InputError, match="did you mean --help partition?"):
        help_text(["partitin"])


def test_the_option_list_has_every_option_and_key(use_small_conf):
    page = option_list(use_small_conf)
    assert "| `partition.alpha` | `0.5` | concentration; small is skewed | float > 0 |" in page
    assert "| `device` | `auto` | where training runs | auto \\| cpu \\| gpu |" in page
    assert "### `experiment=paper`" in page
    assert "| `model.channels` | `8` |  |  |" in page


def test_docs_options_md_is_up_to_date():
    file = CHECKOUT / "docs" / "options.md"
    assert file.is_file() and file.read_text(encoding="utf-8") == option_list(conf_folder()), (
        "docs/options.md is old; run: python -m fedlit.settings.option_list > docs/options.md"
    )


def test_help_is_quick_and_imports_neither_torch_nor_hydra(tmp_path):
    for name in ("torch", "hydra"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported')\n")
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "fedlit.run", "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{CHECKOUT}", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "partition=dirichlet" in done.stdout
    assert time.perf_counter() - begin < 2  # a tenth of a second on an idle machine


def test_the_page_of_the_data_names_the_keys_of_every_class_of_a_user():
    page = help_text(["data"])
    assert {key: {f"{key}.{name}" for name in names} for key, names in RUN_KEYS.items()} == {
        group: {left.partition("=")[0] for left, _ in rows} for group, rows in OF_USER_CLASSES.items()
    }
    assert "data._target_=mine.MyClass" in page and "data.target=<number or key>" in page
    assert "data.target=<" not in help_text(["partition"])
