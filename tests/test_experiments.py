"""Every preset of conf/experiment runs for a round on a few samples, and its head names the result to reproduce."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from fedlit.data.flamby_heart import HOSPITALS
from fedlit.settings.comments import read_file
from fedlit.settings.folders import conf_folder
from tests.small_runs import OPTIONS, composed, go, not_finite, small, write_npz, write_tables

SAMPLES = 12  # training samples a client: more than the least size that a partition asks for
MOST_CLIENTS = 1200  # of a preset that is about their number
SHAPES = {  # data set -> one image, as it lies in an .npz file, and the number of classes
    "mnist": ((28, 28), 10),
    "fashion_mnist": ((28, 28), 10),
    "emnist": ((28, 28), 47),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
}
SOURCE = re.compile(r"\b(19|20)\d\d\b|lecture", re.IGNORECASE)  # the year of a paper, or the course
TARGET = re.compile(r"\d\s?%|accuracy|target", re.IGNORECASE)


def small_data(name: str, clients: int, folder: Path) -> dict[str, Any]:
    """A few samples in place of a data set's files; nothing for data that need none."""
    if name in SHAPES:
        return {"data.path": str(write_npz(folder / "small.npz", *SHAPES[name], [SAMPLES] * clients))}
    if name == "heart_disease_4_hospitals":
        option = composed(f"data={name}").config.data
        write_tables(folder, [option.path.replace("*", site) for site in option.sites], columns=14, header=False)
        return {"data.root": str(folder)}
    if name == "flamby_heart":
        for hospital, rows in HOSPITALS.items():
            lines = [
                f"{i % 7},{i % 2},{1 + i % 4},3,{i % 9},0,{i % 3},{i % 5},1,{i % 8},0,0,0,{i % 2}" for i in range(rows)
            ]
            (folder / f"processed.{hospital}.data").write_text("\n".join(lines) + "\n")
        return {"data.root": str(folder)}
    if name == "synthetic":
        return {"data.size_log_mean": 0.0, "data.size_log_std": 0.0, "data.min_size": SAMPLES}
    assert name == "digits", f"say in SHAPES what one sample of data={name} is"
    return {}


@pytest.mark.parametrize("name", OPTIONS["experiment"])
def test_an_experiment_runs_for_a_round(name: str, tmp_path: Path) -> None:
    composition = composed(f"experiment={name}")
    clients = min(composition.config.clients, MOST_CLIENTS)
    changes = {
        "clients": clients,
        **small_data(composition.choices["data"], clients, tmp_path),
        "logger": composed("logger=none").config.logger,
        "evaluation.clients": 5,
    }
    if composition.config.local_updates is not None:
        changes["local_updates"] = 3
    config = small([f"experiment={name}"], changes)
    (row,) = go(config, tmp_path / "run")
    assert row["round"] == 1
    assert 0 < row["cohort/arrived"] == row["cohort/asked"] <= clients
    assert any(re.match(r"(global/test|clients/personal)/accuracy", key) for key in row)
    assert not_finite(row) == {}
    assert (tmp_path / "run" / "clients.jsonl").exists() == config.evaluation.each_epoch


@pytest.mark.parametrize("name", OPTIONS["experiment"])
def test_the_head_of_an_experiment_names_source_and_target(name: str) -> None:
    file = conf_folder() / "experiment" / f"{name}.yaml"
    head = f"{read_file(file).about} {read_file(file).source}"
    assert SOURCE.search(head), "name the paper and its year"
    assert TARGET.search(head), "name the result to reach"


@pytest.mark.parametrize("name", OPTIONS["experiment"])
def test_the_settings_of_an_experiment_reach_the_run(name: str) -> None:
    file = OmegaConf.load(conf_folder() / "experiment" / f"{name}.yaml")
    config, choices = composed(f"experiment={name}").config, composed(f"experiment={name}").choices
    file.pop("published", None)  # no setting
    for default in file.pop("defaults", []):
        for group, option in default.items() if OmegaConf.is_dict(default) else ():
            assert choices[group.removeprefix("override").strip().lstrip("/")] == option
    assert OmegaConf.merge(config, file) == config
