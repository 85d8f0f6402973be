"""How often Hydra loads a configuration for one command, and what a run of a composed one keeps of Hydra's main."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback

from fedlit.run import main
from fedlit.settings import compose
from fedlit.settings.compose import composer
from tests.settings.conftest import write_options


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often Hydra loaded a configuration, and how often a table of keys was made."""
    counts = {"loads": 0, "tables": 0}

    def counted(name: str, function: Callable) -> Callable:
        def call(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted("loads", ConfigLoaderImpl.load_configuration))
    monkeypatch.setattr(compose, "make_table", counted("tables", compose.make_table))
    return counts


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["clients=3", "partition=dirichlet", "partition.alpha=0.1", "name=a"],
        ["optimizer@aggregator.server_optimizer=adam", "aggregator.server_optimizer.lr=1", "+optimizer.nesterov=true"],
        ["experiment=paper", "rounds=2", "hydra.run.dir=a"],
    ],
)
def test_a_run_loads_its_configuration_once_and_makes_its_table_once(
    use_small_conf, in_folder, experiment, count, overrides
):
    assert main(overrides) == 0
    assert len(experiment.calls) == 1
    assert count == {"loads": 1, "tables": 1}


@pytest.mark.parametrize(
    "overrides",
    [
        ["model._target_=tests.settings.test_compose.Net", "model.width=3"],  # the default's keys are left out
        ["experiment=paper", "model=mlp"],  # a key that the preset left over is deleted
    ],
)
def test_a_configuration_that_has_to_be_rewritten_is_loaded_twice(
    use_small_conf, in_folder, experiment, count, overrides
):
    assert main(overrides) == 0
    assert count == {"loads": 2, "tables": 2}


def test_a_resumed_run_loads_as_many_configurations_as_it_compares(use_small_conf, in_folder, experiment, count):
    assert main(["clients=3", "hydra.run.dir=run"]) == 0
    count.update(loads=0)
    assert main(["resume=run"]) == 0
    assert count["loads"] == 1
    assert main(["resume=run", "rounds=30"]) == 0
    assert count["loads"] == 1 + 2


class Net:
    def __init__(self, width: int) -> None:
        self.width = width


class Noted(Callback):
    """Notes which of its hooks are called."""

    calls: list[str] = []  # noqa: RUF012

    def on_run_start(self, config, **kwargs):
        self.calls.append("on_run_start")

    def on_job_start(self, config, **kwargs):
        self.calls.append("on_job_start")

    def on_job_end(self, config, job_return, **kwargs):
        self.calls.append("on_job_end")

    def on_run_end(self, config, **kwargs):
        self.calls.append("on_run_end")


def test_a_single_run_keeps_what_hydras_main_does(use_small_conf, in_folder, experiment):
    seen = {}

    def then(config, folder):
        seen["hydra"] = HydraConfig.get()
        seen["global"] = GlobalHydra.instance().is_initialized()
        return 0

    experiment.then = then
    Noted.calls.clear()
    callback = "hydra:\n  callbacks:\n    noted:\n      _target_: tests.settings.test_compose.Noted\n"
    write_options(in_folder / "own", {"mine.yaml": f"defaults:\n  - config\n  - _self_\n{callback}"})
    assert main(["--config-dir", "own", "--config-name", "mine", "clients=3"]) == 0
    assert Noted.calls == ["on_run_start", "on_job_start", "on_job_end", "on_run_end"]
    assert seen["global"] and not GlobalHydra.instance().is_initialized()
    assert Path(seen["hydra"].runtime.output_dir) == in_folder / "outputs" / "now"
    record = in_folder / "outputs" / "now" / ".hydra"
    assert yaml.safe_load((record / "overrides.yaml").read_text()) == ["clients=3"]
    hydra = yaml.safe_load((record / "hydra.yaml").read_text())["hydra"]
    assert hydra["overrides"]["hydra"][-2:] == ["hydra.run.dir='outputs/now'", "hydra.mode=RUN"]
    assert (hydra["mode"], hydra["overrides"]["task"]) == ("RUN", ["clients=3"])
    assert (record.parent / "run.log").exists()


def test_a_configuration_of_the_users_may_ask_for_a_sweep(use_small_conf, in_folder, experiment):
    text = "defaults:\n  - config\n  - _self_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      clients: 2,3\n"
    write_options(in_folder / "own", {"mine.yaml": text})
    assert main(["--config-dir", "own", "--config-name", "mine"]) == 0
    assert [config.clients for config, _, _ in experiment.calls] == [2, 3]


def test_an_option_file_is_parsed_once_and_again_when_it_has_changed(use_small_conf, tmp_path, monkeypatch):
    file = write_options(tmp_path, {"model/net.yaml": "_target_: mine.Net\nsize: 3\n"}) / "model" / "net.yaml"
    read: list[str] = []
    load = ConfigRepository.load_config

    def counted(self: ConfigRepository, config_path: str) -> object:
        read.append(config_path)
        return load(self, config_path)

    monkeypatch.setattr(ConfigRepository, "load_config", counted)

    def size() -> int:
        with composer(config_dir=tmp_path) as made:
            config = made.compose(["model=net"]).config
            config.model.size += 100  # what is kept is not what is given
            return int(config.model.size)

    assert [size(), size()] == [103, 103]
    assert read.count("model/net") == 1
    file.write_text("_target_: mine.Net\nsize: 44\n", encoding="utf-8")
    assert size() == 144
    assert read.count("model/net") == 2
