"""A chunk of which one client fails runs again, one client at a time, with the numbers of plain torch."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import tests.training.rounds as rounds
from fedlit.aggregators import FedAvg
from fedlit.data import TensorSamples
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.slow import some_slow
from tests.training.rounds import Federated, cut, delta, numbers

SIZES, EPOCHS, FACTOR = (12, 16, 8), 2, 0.8


class Net(pl.LightningModule):
    def __init__(self, interval: str) -> None:
        super().__init__()
        self.net, self.interval = nn.Linear(6, 3), interval

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, FACTOR)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": self.interval}}


class Reads(FedAvg):
    """Sends rates and gain, also as `gradient_fn` sees the rates; fails for some clients after their fit."""

    failing: frozenset[int] = frozenset()

    def local_update(self, client: Any, received: Any, state: Any) -> Any:
        def gradient_fn(step: Any, w: Tensor, total: Tensor) -> Any:
            return torch.autograd.grad(step.loss(w).sum(), w)[0], {"total": total + step.lr}

        x = received["model"]
        fitted = client.fit(x, gradient_fn=gradient_fn, carry={"total": torch.zeros(1, 1, dtype=torch.float64)})
        if self.failing & set(client.number[:, 0].tolist()):
            raise ZeroDivisionError("a client that fails")
        rates = {"lr": fitted.lr, "gain": fitted.gain, "total": fitted.carry["total"]}
        return {"delta": fitted.model - x, **rates}, state


def plain(run: Federated, client: int, interval: str) -> dict[str, Any]:
    """The client's change, the sum of its rates, and the gain, by plain torch."""
    x, y = numbers(sum(SIZES), dtype=torch.float64)
    weights = [t.clone().requires_grad_() for t in run.layout.named(run.start).values()]
    unit = torch.zeros(1, dtype=torch.float64, requires_grad=True)  # its gradient is 1
    optimizer = torch.optim.SGD([*weights, unit], lr=0.1, momentum=0.9)
    (job,), rates = run.jobs([client], epochs=EPOCHS), 0.0
    for epoch in range(EPOCHS):
        for batch in job.batches(0, epoch, False):
            optimizer.zero_grad()
            (F.cross_entropy(F.linear(x[batch], *weights), y[batch]) + unit.sum()).backward()
            rates += optimizer.param_groups[0]["lr"]
            optimizer.step()
            optimizer.param_groups[0]["lr"] *= FACTOR if interval == "step" else 1
        optimizer.param_groups[0]["lr"] *= FACTOR if interval == "epoch" else 1
    after = torch.cat([w.detach().flatten() for w in weights])
    return {"delta": after - run.start.weights, "rates": rates, "gain": -float(unit.detach())}


@pytest.mark.parametrize("interval", some_slow(["step", "epoch"], ["step"]))
@pytest.mark.parametrize(
    ("trainer", "options"),
    [
        (LightningTrainer, {}),
        *((VectorizedTrainer, {"stack": stack, "chunk": n}) for stack in ("always", "never") for n in (2, 3)),
    ],
)
@pytest.mark.parametrize("failing", [(), (0,), (1,), (0, 2)])
def test_clients_that_run_again_have_the_rates_and_weights_of_plain_torch(
    failing: tuple[int, ...], trainer: Any, options: Any, interval: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "LightningTrainer", trainer)
    torch.manual_seed(0)
    x, y = numbers(sum(SIZES), dtype=torch.float64)
    aggregator = Reads()
    run = Federated(Net(interval), TensorSamples(x, y), cut(*SIZES), aggregator, "drop", precision="64-true", **options)
    aggregator.failing = frozenset(failing)
    returned = run.round([1, 0, 2], epochs=EPOCHS)
    rows = {c: (chunk, r) for chunk in returned for r, c in enumerate(chunk.clients)}
    assert set(rows) == {0, 1, 2} - set(failing)
    for client, (chunk, r) in rows.items():
        expected, sent = plain(run, client, interval), chunk.rows([r])
        torch.testing.assert_close(delta(sent), expected["delta"], rtol=0, atol=1e-12)
        for key, number in {"lr": "rates", "total": "rates", "gain": "gain"}.items():
            assert sent.wire[key].double().unique().tolist() == pytest.approx([expected[number]], abs=1e-12), key
