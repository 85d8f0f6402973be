"""Files that import `pytorch_lightning` run with `lightning`, and no class of the other package gets in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch.demos.boring_classes import BoringModel

from fedlit.errors import InputError
from fedlit.user_module.old_hooks import refuse_old_hooks
from tests.slow import some_slow
from tests.small_runs import command

CHECKOUT = Path(__file__).parents[1]
USER = """
import importlib.util
import lightning.pytorch as new
import pytorch_lightning as pl
import pytorch_lightning.callbacks.early_stopping as deep
import torch, torchmetrics
from pytorch_lightning import LightningModule, Trainer, loggers
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.types import STEP_OUTPUT

assert pl is new and LightningModule is new.LightningModule and Callback is new.Callback and loggers is new.loggers
assert deep.EarlyStopping is new.callbacks.EarlyStopping
assert new.__spec__.name == "lightning.pytorch" and deep.__spec__.name == "lightning.pytorch.callbacks.early_stopping"
assert importlib.util.find_spec("pytorch_lightning.trainer") is not None
try:
    import pytorch_lightning.lite
except ModuleNotFoundError as error:
    assert error.name == "pytorch_lightning.lite"
else:
    raise AssertionError

class Checks(Callback):
    def on_train_start(self, trainer, module):
        from pytorch_lightning.profilers import Profiler  # a first import in the middle of a fit
        assert isinstance(trainer, pl.Trainer) and isinstance(module, pl.LightningModule)
        assert Profiler is new.profilers.Profiler

class Data(pl.LightningDataModule):
    def setup(self):
        x = torch.arange(40.0).view(20, 2) / 20
        self.all = torch.utils.data.TensorDataset(x, (x.sum(1) > 2).long())

    def train_dataloader(self):
        return torch.utils.data.DataLoader(self.all, 4, shuffle=True)

    def test_dataloader(self):
        return torch.utils.data.DataLoader(self.all, 4)

class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 2)
        self.accuracy = torchmetrics.classification.BinaryAccuracy()

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        outputs = self(batch[0])
        self.log("accuracy", self.accuracy(outputs.argmax(1), batch[1]))
        return torch.nn.functional.cross_entropy(outputs, batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

class Watched(Net):
    def configure_callbacks(self):
        return [Checks()]
"""
WORDS = [
    "clients=2",
    "rounds=1",
    "batch_size=8",
    "threads=1",
    "device=cpu",
    "progress=none",
    "data._target_=old_name.Data",
]
KINDS = ["trainer=lightning", "trainer=vectorized", "engine=processes"]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old_name.py").write_text(USER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "old_name", raising=False)


def run(name: str, *more: str) -> int:
    return command(f"model._target_=old_name.{name}", *WORDS, "hydra.run.dir=run", *more)


@pytest.mark.parametrize("kind", some_slow(KINDS, KINDS[:1]))
def test_a_module_of_the_old_name_trains(kind: str) -> None:
    assert run("Net" if "vectorized" in kind else "Watched", kind) == 0


@pytest.mark.parametrize(
    ("kind", "new"), [("training", "on_train"), ("validation", "on_validation"), ("test", "on_test")]
)
def test_a_hook_of_lightning_1_is_refused_with_the_new_name(kind: str, new: str) -> None:
    module = BoringModel()
    setattr(module, f"{kind}_epoch_end", print)
    with pytest.raises(
        InputError, match=f"BoringModel.{kind}_epoch_end is a hook of Lightning 1.*write {new}_epoch_end"
    ):
        refuse_old_hooks(module)


def test_a_hook_that_lightning_2_never_calls_is_named(caplog: pytest.LogCaptureFixture) -> None:
    module = BoringModel()
    module.test_epoch_end, module.on_epoch_end = None, print
    refuse_old_hooks(module)
    assert "BoringModel has hooks of Lightning 1 that Lightning 2 never calls: on_epoch_end." in caplog.messages


IMPORTED_BEFORE = """
import sys
sys.path[:0] = [{checkout!r}, "."]
import pytorch_lightning
from fedlit.run import main
sys.argv[1:] = {words!r}
sys.exit(main({words!r}))
"""


@pytest.mark.slow
def test_the_other_package_imported_before_the_run_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning")
    (tmp_path / "old_name.py").write_text(
        "import pytorch_lightning as pl\nfrom torch import nn\n"
        "class Net(pl.LightningModule):\n"
        "    def __init__(self):\n        super().__init__()\n        self.net = nn.Linear(2, 2)\n"
        "    def training_step(self, batch, batch_idx):\n        return self.net(batch[0]).sum()\n"
    )
    words = ["model._target_=old_name.Net", "data=synthetic", "clients=2", "rounds=1", "threads=1"]
    code = IMPORTED_BEFORE.format(checkout=str(CHECKOUT), words=words)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Net inherits from a class of pytorch_lightning, which was imported before the run" in done.stderr
