"""Ready models and inputs that are whole numbers: refused in a sentence before the first round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from fedlit.data import Batch, DataSource, TensorSamples, on_inputs
from fedlit.errors import InputError
from fedlit.models import Logistic
from fedlit.models.data_check import check_data
from tests.slow import some_slow
from tests.small_runs import command, rows

QUIET = ("rounds=2", "clients=2", "threads=1", "progress=none", "logger=none", "hydra.run.dir=run", "device=cpu")


class WordLogistic(Logistic):
    """The user's subclass of a ready model, with an embedding."""

    def __init__(self, classes: int):
        super().__init__((8,), classes)
        self.embedding = nn.Embedding(50, 8)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.embedding(x).mean(1))


class WordSum(LightningModule):
    """The user's model with an embedding."""

    def __init__(self, classes: int):
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 8), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embedding(x).mean(1))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


def write(x: np.ndarray, y: np.ndarray) -> None:
    np.savez("mine.npz", x_train=x[:150], y_train=y[:150], x_test=x[150:], y_test=y[150:])


def separable(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """200 samples whose class is whether the first feature is above its mean."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (200, 2))
    y = (x[:, 0] > 24).astype(np.int64)
    if kind == "time stamps, integers":
        return x + 1_700_000_000, y
    return (x + 1.7e9 if kind == "time stamps, float64" else x).astype(float), y


@pytest.mark.parametrize("trainer", some_slow(["lightning", "vectorized"], ["vectorized"]))
@pytest.mark.parametrize("model", some_slow(["mlp", "logistic"], ["mlp"]))
@pytest.mark.parametrize("kind", [np.int64, np.int32, bool])
def test_whole_numbers_and_a_ready_model_are_refused(
    kind: type, model: str, trainer: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = separable("integers")
    write((x > 24).astype(kind) if kind is bool else x.astype(kind), y)
    assert command("data=npz", "data.path=mine.npz", f"model={model}", f"trainer={trainer}", *QUIET) == 2
    sentence = capsys.readouterr().err.strip()
    assert "the ready models take floats as inputs, but those of this data set are torch.int64" in sentence
    assert "data.inputs=features" in sentence and "\n" not in sentence


@pytest.mark.parametrize(
    ("kind", "options"),
    [("time stamps, integers", ["data.inputs=features"]), ("time stamps, float64", []), ("small", [])],
)
def test_a_ready_model_learns_from_whole_numbers_as_features(kind: str, options: list[str], in_folder: Path) -> None:
    write(*separable(kind))
    words = ["data=npz", "data.path=mine.npz", "model=logistic", "local_epochs=10", *options, *QUIET]
    assert command(*words) == 0
    assert rows(Path("run"))[-1]["global/test/accuracy"] > 0.9


@pytest.mark.parametrize("model", [WordSum, WordLogistic])
def test_a_model_with_an_embedding_gets_the_whole_numbers(model: type, in_folder: Path) -> None:
    x, y = separable("integers")
    write(x.astype(np.int32), y)
    assert command("data=npz", "data.path=mine.npz", f"model._target_={__name__}.{model.__name__}", *QUIET) == 0
    assert torch.isfinite(torch.tensor(rows(Path("run"))[-1]["train/loss"]))


def test_whole_numbers_that_a_transform_turns_into_floats_are_accepted() -> None:
    x, y = torch.arange(8).reshape(4, 2), torch.tensor([0, 1, 0, 1])
    samples = TensorSamples(x, y)

    def floats(batch: Batch, *_: object) -> Batch:
        return on_inputs(batch, lambda inputs: inputs.float())

    check_data(Logistic((2,), 2), DataSource("mine", samples, samples, 2, (2,), transform=floats))
    with pytest.raises(InputError, match="torch.int64"):
        check_data(Logistic((2,), 2), DataSource("mine", samples, samples, 2, (2,)))
