"""A small folder of options, so that these tests say what they need and do not change with conf/."""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fedlit
from fedlit.settings import folders
from fedlit.settings.check import Checked, check
from fedlit.settings.compose import composer

FILES = {
    "config.yaml": """
# A small federation.
defaults:
  - _self_
  - partition: iid
  - model: mlp
  - optimizer: sgd
  - aggregator: fedavg
  - engine: serial
  - experiment: null

clients: 10         # number of clients [int >= 1]
rounds: 20          # number of rounds [int >= 1]
participation: 1.0  # fraction of the clients in a round [0 < float <= 1]
batch_size: 32      # samples in a batch [int >= 1]
seed: 0             # first part of each key [int >= 0]
device: auto        # where training runs [auto | cpu | gpu]
threads: null       # threads of an operation [int >= 1 or null]
name: null          # name of the run [text or null]
resume: null        # folder of a run that goes on [path or null]
progress: auto      # how rounds are shown [auto | plain | none]
checkpoint:
  every: 60  # least time between two, seconds [float >= 0]
""",
    "partition/iid.yaml": "# Equal shards.\n_target_: fedlit.partitions.Iid  # class [class]\n",
    "partition/dirichlet.yaml": """
# Label skew. Hsu et al. 2019.
_target_: fedlit.partitions.Dirichlet  # class [class]
alpha: 0.5    # concentration; small is skewed [float > 0]
min_size: 10  # least samples of a client [int >= 0]
""",
    "model/mlp.yaml": """
# Dense layers.
_target_: fedlit.models.Mlp  # class [class]
hidden: [200]  # widths of the layers [list of int > 0]
dropout: null  # share of units dropped [0 <= float < 1 or null]
""",
    "model/cnn.yaml": """
# Convolutions.
_target_: fedlit.models.Cnn  # class [class]
channels: 16  # channels of the first layer [int >= 1]
""",
    "optimizer/sgd.yaml": """
# Gradient descent.
_target_: torch.optim.SGD  # class [class]
_partial_: true            # completed by the parameters [bool]
lr: 0.1                    # learning rate [float > 0]
momentum: 0.0              # share of the last step [0 <= float < 1]
""",
    "optimizer/adam.yaml": """
# Adam.
_target_: torch.optim.Adam  # class [class]
_partial_: true             # completed by the parameters [bool]
lr: 0.001                   # learning rate [float > 0]
""",
    "aggregator/fedavg.yaml": """
# Means.
defaults:
  - _self_
  - /optimizer@server_optimizer: sgd
_target_: fedlit.aggregators.FedAvg  # class [class]
""",
    "engine/serial.yaml": """
# One after another.
_target_: fedlit.engines.Serial  # class [class]
on_failure: raise  # what a failed client does [raise | drop]
options: {}        # passed on as they are [mapping]
""",
    "experiment/paper.yaml": """
# @package _global_
# A preset.
defaults:
  - override /partition: dirichlet
  - override /model: cnn
rounds: 3
partition:
  alpha: 0.3
model:
  channels: 8
""",
}


def hydra_section() -> str:
    """The shipped settings of Hydra, with folders that do not change with the time."""
    shipped = (folders.conf_folder() / "config.yaml").read_text(encoding="utf-8")
    section = shipped[shipped.index("\nhydra:") :]
    return section.replace("${now:%Y-%m-%d}/${now:%H-%M-%S}", "now")


def write_options(folder: Path, files: dict[str, str]) -> Path:
    """Put YAML texts under a folder."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.lstrip("\n"), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def small_conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of FILES."""
    files = {**FILES, "config.yaml": FILES["config.yaml"] + hydra_section()}
    return write_options(tmp_path_factory.mktemp("conf"), files)


@pytest.fixture
def use_small_conf(small_conf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """fedlit's options are those of FILES."""
    monkeypatch.setattr(folders, "conf_folder", lambda: small_conf)
    return small_conf


Check = Callable[..., Checked]


@pytest.fixture
def checked(use_small_conf: Path) -> Check:
    """Checks overrides against FILES, and the user's folder of options beside it."""

    def run(*overrides: str, sweeps: bool = False, config_dir: Path | None = None) -> Checked:
        with composer(config_dir=config_dir) as made:
            return check(overrides, made, sweeps=sweeps)

    return run


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """In place of fedlit.experiment: keeps what each run was given in `calls`, and does what `then` says."""
    module = types.ModuleType("fedlit.experiment")
    module.calls = []  # type: ignore[attr-defined]
    module.then = lambda config, folder: 0  # type: ignore[attr-defined]

    def run(config, folder, overrides, shown=None):
        module.calls.append((config, folder, overrides))
        return module.then(config, folder)

    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setattr(fedlit, "experiment", module, raising=False)
    monkeypatch.setitem(sys.modules, "fedlit.experiment", module)
    path, root = list(sys.path), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield module
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], sys.path[:] = handlers, path
    root.setLevel(level)
