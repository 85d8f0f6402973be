"""`client.fit(epochs=tensor (K, 1))`: partial work, a number of epochs for each client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler as schedules

from fedlit.data import TensorSamples
from fedlit.errors import InputError
from fedlit.round import Round
from fedlit.training import Job
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.slow import some_slow
from tests.stacks import check_stacked
from tests.training.module_kinds.case import CLASSES, WIDTH
from tests.training.test_module_kinds import worker

SIZES = (11, 10, 7, 3)
EPOCHS = (1, 3, 0, 2)
BATCH, LR = 4, 0.1
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "stack": (VectorizedTrainer, {"stack": "always"}),
    "traced stack": (VectorizedTrainer, {"stack": "always", "compile": "trace"}),
    "one by one": (VectorizedTrainer, {"stack": "never"}),
    "lightning": (LightningTrainer, {}),
}


class Net(pl.LightningModule):
    """Two layers with dropout; `make(module)` gives the optimiser and schedulers."""

    def __init__(self, make: Callable[[Any], Any], dropout: float = 0.0):
        super().__init__()
        self.body, self.head, self.make = nn.Linear(WIDTH, 4), nn.Linear(4, CLASSES), make
        self.dropout = nn.Dropout(dropout)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = nn.functional.cross_entropy(self.head(self.dropout(torch.tanh(self.body(batch[0])))), batch[1])
        self.log("mean", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        return self.make(self)


def sgd(module: Any) -> Any:
    return optim.SGD(module.parameters(), LR, momentum=0.9)


def adam(module: Any) -> Any:
    return optim.Adam(module.parameters(), 0.01)


def falling(module: Any) -> Any:
    """The rate falls over the epochs of the client's own fit."""
    optimizer, epochs = sgd(module), module.trainer.max_epochs
    return [optimizer], [schedules.LambdaLR(optimizer, lambda epoch: 1 - epoch / (2 * epochs))]


def by_length(module: Any) -> Any:
    """No scheduler, but a rate that depends on the epochs of the fit."""
    return optim.SGD(module.parameters(), LR / module.trainer.max_epochs)


MAKERS = {"sgd": sgd, "adam": adam, "falling": falling, "by_length": by_length}


def data() -> TensorSamples:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sum(SIZES), WIDTH, dtype=torch.float64, generator=generator)
    return TensorSamples(x, torch.arange(len(x)) % CLASSES)


def jobs() -> list[Job]:
    parts = np.split(np.arange(sum(SIZES)), np.cumsum(SIZES)[:-1])
    return [Job(c, Round(1, 0, [0, 1, 2, 3], 4), BATCH, 1, part) for c, part in enumerate(parts)]


def fits(kind: str, maker: str, dropout: float = 0.0, **options: Any) -> tuple[list[Any], list[Any], Any]:
    """The results of the chunks' fits, the chunks, and the worker, with the model at the start."""
    torch.manual_seed(0)
    trainer_class, trainer = KINDS[kind]
    fit_worker = worker(trainer_class, Net(MAKERS[maker], dropout), data(), **trainer)
    start = fit_worker.start = fit_worker.host.layout.read(fit_worker.host.module)
    results, chunks = [], []
    for rows in fit_worker.chunks(jobs()):
        chunk = fit_worker.client(jobs()[rows], counters(fit_worker.host.module), [{}] * len(jobs()[rows]))
        epochs = torch.tensor(EPOCHS)[rows, None]
        results.append(chunk.fit(start, epochs=epochs, **options))
        chunks.append(chunk)
    if trainer.get("stack") == "always":
        check_stacked(fit_worker)
    return results, chunks, fit_worker


def joined(results: list[Any], name: str) -> Tensor:
    parts = [result.model.weights if name == "weights" else getattr(result, name) for result in results]
    width = max(part.shape[1] for part in parts)
    return torch.cat([part.expand(-1, width) for part in parts])


def oracle(client: int, weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], int, float]:
    """A client's fit under `falling` in plain torch: the weights, the steps, and the sum of their rates."""
    x, y = data().tensors
    w = {n: t.clone().requires_grad_() for n, t in weights.items()}
    velocity = {n: torch.zeros_like(t) for n, t in weights.items()}
    steps, rates = 0, 0.0
    for epoch in range(EPOCHS[client]):
        rate = LR * (1 - epoch / (2 * EPOCHS[client]))
        for batch in jobs()[client].batches(0, epoch, False):
            hidden = torch.tanh(x[batch] @ w["body.weight"].T + w["body.bias"])
            logits = hidden @ w["head.weight"].T + w["head.bias"]
            loss = (logits.logsumexp(1) - logits[range(len(batch)), y[batch]]).mean()
            for (name, tensor), gradient in zip(w.items(), torch.autograd.grad(loss, list(w.values())), strict=True):
                velocity[name] = 0.9 * velocity[name] + gradient
                w[name] = (tensor - rate * velocity[name]).detach().requires_grad_()
            steps, rates = steps + 1, rates + rate
    return w, steps, rates


@pytest.mark.parametrize("kind", some_slow(KINDS, ["stack", "lightning"]))
def test_each_client_trains_its_own_epochs_with_its_own_schedule(kind: str) -> None:
    results, chunks, fit_worker = fits(kind, "falling")
    layout = fit_worker.host.layout
    start = layout.named(fit_worker.start)
    steps, rates = joined(results, "steps"), joined(results, "lr")
    for client, row in enumerate(joined(results, "weights")):
        expected, expected_steps, expected_rates = oracle(client, start)
        for name, piece in layout.pieces(row).items():
            torch.testing.assert_close(piece, expected[name].detach(), rtol=0, atol=1e-12)
        assert int(steps[client]) == expected_steps
        assert float(rates[client, 0]) == pytest.approx(expected_rates, abs=1e-12)
    facts = {f["client"]: f for chunk in chunks for f in chunk.facts}
    assert [client for client in facts if "idle" in facts[client]] == [2]
    assert "0 epochs" in facts[2]["idle"]
    assert joined(results, "loss").isnan()[:, 0].tolist() == [False, False, True, False]
    assert [moved for chunk in chunks for moved in chunk.moved[:, 0].tolist()] == [True, True, False, True]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("kind", some_slow([k for k in KINDS if k != "lightning"], ["stack"]))
def test_a_stack_is_each_client_alone(kind: str, maker: str) -> None:
    alone, alone_chunks, _ = fits("lightning", maker, dropout=0.4)
    stacked, chunks, fit_worker = fits(kind, maker, dropout=0.4)
    for name in ("weights", "steps", "lr", "loss"):
        torch.testing.assert_close(joined(stacked, name), joined(alone, name), rtol=0, atol=1e-12, equal_nan=True)
    logged, alone_logged = (
        {f["client"]: f.get("logged") for chunk in some for f in chunk.facts} for some in (chunks, alone_chunks)
    )
    for client in (0, 1, 3):
        assert logged[client]["mean"] == pytest.approx(alone_logged[client]["mean"], abs=1e-12)
    assert fit_worker.setup.plan.stacked == (kind != "one by one")


def test_a_step_that_reads_the_epochs_of_the_fit_is_trained_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    class Reading(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx) / self.trainer.max_epochs

    changes = {}
    for kind in ("lightning", "stack"):
        torch.manual_seed(0)
        trainer_class, options = KINDS[kind]
        fit_worker = worker(trainer_class, Reading(sgd), data(), **options)
        start = fit_worker.host.layout.read(fit_worker.host.module)
        fitted = []
        for rows in fit_worker.chunks(jobs()):
            chunk = fit_worker.client(jobs()[rows], {}, [{}] * len(jobs()[rows]))
            fitted.append(chunk.fit(start, epochs=torch.tensor(EPOCHS)[rows, None]))
        changes[kind] = joined(fitted, "weights")
    torch.testing.assert_close(changes["stack"], changes["lightning"], rtol=0, atol=1e-12)
    assert "reads the trainer's max_epochs" in caplog.text


WRONG = [
    (torch.tensor([1, 2, 1, 1]), r"shape \(4,\); write a whole number from 0, or a tensor \(4, 1\)"),
    (torch.tensor([[1], [2]]), r"shape \(2, 1\)"),
    (torch.tensor([[1], [-2], [1], [1]]), "holds -2"),
    (torch.tensor([[1.0], [1.5], [1.0], [1.0]]), "holds 1.5"),
    (torch.tensor([[1.0], [float("nan")], [1.0], [1.0]]), "holds nan"),
    (torch.tensor([[True], [True], [True], [True]]), "holds True"),
    (-1, "holds -1"),
    (0.5, "holds 0.5"),
]


@pytest.mark.parametrize(("epochs", "sentence"), WRONG)
def test_other_numbers_are_refused_in_a_sentence(epochs: Any, sentence: str) -> None:
    fit_worker = worker(VectorizedTrainer, Net(sgd), data(), stack="never")
    chunk = fit_worker.client(jobs(), {}, [{}] * 4)
    with pytest.raises(InputError, match=sentence):
        chunk.fit(fit_worker.host.layout.read(fit_worker.host.module), epochs=epochs)


def test_whole_numbers_of_any_type_are_taken() -> None:
    fit_worker = worker(VectorizedTrainer, Net(sgd), data(), stack="never")
    start = fit_worker.host.layout.read(fit_worker.host.module)
    steps = []
    for epochs in (2, np.int64(2), torch.full((4, 1), 2.0), torch.full((4, 1), 2)):
        steps.append(fit_worker.client(jobs(), {}, [{}] * 4).fit(start, epochs=epochs).steps[:, 0].tolist())
    assert steps == [[6, 6, 4, 2]] * 4
