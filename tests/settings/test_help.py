"""The help page and the list of options for the docs, made from the comments."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlit import __version__
from fedlit.errors import InputError
from fedlit.run import main
from fedlit.settings.classes import RUN_KEYS
from fedlit.settings.folders import conf_folder
from fedlit.settings.help import EXAMPLES, FLAGS, OF_USER_CLASSES, help_text
from fedlit.settings.option_list import option_list
from tests.settings.conftest import write_options

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
    assert len(EXAMPLES) == 6
    assert all(left in page for left, _ in (*EXAMPLES, *FLAGS))


def test_the_page_of_a_group_lists_the_keys_of_its_options(use_small_conf):
    page = " ".join(help_text(["partition", "experiment"]).split())
    assert "partition=dirichlet Label skew. Hsu et al. 2019." in page
    assert "partition.alpha=0.5 concentration; small is skewed [float > 0]" in page
    assert "_target_" not in page
    assert "model.channels=8" in page
    with pytest.raises(InputError, match="did you mean --help partition?"):
        help_text(["partitin"])


@pytest.mark.parametrize(
    "where", [["-cd", "{}"], ["--config-dir", "{}"], ["--config-dir={}"], ["hydra.searchpath=[{}]"]]
)
def test_options_of_the_users_are_listed_and_explained(use_small_conf, tmp_path, where):
    write_options(tmp_path, {"model/net.yaml": "# A net.\nwidth: 3  # units [int >= 1]\n", "extra/one.yaml": "a: 1\n"})
    flags = [word.format(tmp_path) for word in where]
    for words in ([*flags, "--help", "model"], ["--help", "model", *flags], ["model=net", "--help", *flags]):
        assert "model.width=3 units [int >= 1]" in " ".join(help_text(words).split())
    assert "extra.a=1" in help_text([*flags, "--help", "extra"])
    assert "net A net." in " ".join(help_text([*flags, "--help"]).split())


def test_an_option_and_a_key_are_explained_by_their_names(use_small_conf):
    for name in ("dirichlet", "partition=dirichlet", "partition.alpha"):
        page = help_text(["--help", name])
        assert "partition.alpha=0.5" in page and "partition=iid" not in page
    assert "optimizer=adam" in help_text(["--help", "optimizer@aggregator.server_optimizer"])
    assert "number of clients" in help_text(["--help", "clients"])
    with pytest.raises(InputError, match="there is no folder nowhere"):
        help_text(["-cd", "nowhere", "--help"])


def test_a_group_that_is_mounted_in_another_place_is_explained_there():
    page = help_text(["--help", "server_lr_schedule"])
    assert "lr_schedule@server_lr_schedule=cosine" in page and "  server_lr_schedule.final=0.0" in page
    assert "\nlr_schedule=" not in page and "  lr_schedule.final" not in page
    assert "lr_schedule@server_lr_schedule=step" not in help_text(["--help", "server_lr_schedule=cosine"])
    for name in ("server_optimizer", "aggregator.server_optimizer", "optimizer@aggregator.server_optimizer"):
        page = help_text(["--help", name])
        assert "optimizer@aggregator.server_optimizer=adam" in page and "  aggregator.server_optimizer.lr=" in page
    assert "  lr_schedule.final" in help_text(["--help", "lr_schedule"])
    with pytest.raises(InputError, match="did you mean --help server_lr_schedule?"):
        help_text(["--help", "server_lr_schedul"])


def test_the_version_is_fedlits(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(
        rf"fedlit {re.escape(__version__)} \(torch \S+, lightning \S+, hydra-core \S+\)\n", capsys.readouterr().out
    )


def test_a_file_of_options_that_cannot_be_read_is_named(use_small_conf, tmp_path):
    write_options(tmp_path, {"model/net.yaml": "width: 3  # units [int or (two)]\n"})
    with pytest.raises(InputError, match=r"net\.yaml: \[int or \(two\)\] does not say what is allowed"):
        help_text(["-cd", str(tmp_path), "--help", "model"])


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


def test_pages_of_groups_name_the_keys_of_every_class_of_a_user():
    page = help_text(["data"])
    assert {key: {f"{key}.{name}" for name in names} for key, names in RUN_KEYS.items()} == {
        group: {left.partition("=")[0] for left, _ in rows} for group, rows in OF_USER_CLASSES.items()
    }
    assert "data._target_=mine.MyClass" in page and "data.target=<number or key>" in page
    assert "data.target=<" not in help_text(["partition"])
    assert "protocol._target_=mine.MyClass" in help_text(["protocol"])
