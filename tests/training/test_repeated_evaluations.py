"""Optimisers that evaluate a batch several times a step, under trainer=lightning: as in a plain torch loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

from fedlit.client import Fitted
from fedlit.data import TensorSamples
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.model_vectors import Model
from fedlit.round import Round
from fedlit.training import Job, JobData
from fedlit.training.lightning import LightningTrainer
from fedlit.training.lightning.fit_callback import check_scaled
from fedlit.user_module.module_snapshot import counters
from tests.slow import some_slow
from tests.training.module_kinds.optimizers import Twice


class Sam(optim.SGD):
    """Sharpness-aware minimisation: the gradient at w + rho g / |g| (Foret et al. 2021, equation 3)."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        closure = torch.enable_grad()(closure)
        loss = closure()
        parameters = [p for group in self.param_groups for p in group["params"]]
        norm = torch.cat([p.grad.flatten() for p in parameters]).norm()
        moves = [0.05 * p.grad / norm for p in parameters]
        for p, move in zip(parameters, moves, strict=True):
            p.add_(move)
        closure()
        for p, move in zip(parameters, moves, strict=True):
            p.sub_(move)
        super().step()
        return loss


OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "lbfgs": lambda ps: optim.LBFGS(ps, lr=0.1, max_iter=3),
    "lbfgs with a line search": lambda ps: optim.LBFGS(ps, max_iter=5, line_search_fn="strong_wolfe"),
    "lbfgs of one iteration": lambda ps: optim.LBFGS(ps, lr=0.1, max_iter=1),
    "sam": lambda ps: Sam(ps, lr=0.1, momentum=0.9, weight_decay=0.01),
    "twice": lambda ps: Twice(ps, lr=0.1, weight_decay=0.1),
}
QUICK = ["lbfgs", "sam"]
EPOCHS = 2


class Net(pl.LightningModule):
    def __init__(self, make: Callable[[Any], optim.Optimizer], dropout: float = 0.0):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 5), nn.Dropout(dropout), nn.Tanh(), nn.Linear(5, 3))
        self.make, self.draws = make, list[float]()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.net[1].p:  # type: ignore[operator]
            self.draws.append(float(torch.rand(())))
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return self.make(self.parameters())


def data() -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(10, 6))), torch.from_numpy(rng.integers(0, 3, 10))


def made(name: str, dropout: float = 0.0) -> Net:
    torch.manual_seed(0)
    return Net(OPTIMIZERS[name], dropout)


def fit(module: Net, trainer: dict[str, Any] | None = None, **options: Any) -> tuple[Fitted, Job]:
    samples = TensorSamples(*data())
    worker = LightningTrainer(accelerator="cpu", **{"precision": "64-true", **(trainer or {})}).worker(
        module, JobData(samples, samples, epochs=EPOCHS), Measure()
    )
    job = Job(0, Round(1, 0, [0], 1), 4, EPOCHS, np.arange(10))
    client = worker.client([job], counters(module), [{}])
    return client.fit(worker.host.layout.read(module), **options), job


def by_hand(name: str, job: Job) -> tuple[Tensor, list[float]]:
    """The weights after a plain loop, and the losses of the first evaluations."""
    module, (x, y) = made(name).double(), data()
    optimizer, losses = OPTIMIZERS[name](module.parameters()), []
    for epoch in range(EPOCHS):
        for batch in job.batches(0, epoch, False):
            values: list[float] = []

            def closure(batch: Any = batch, values: list[float] = values) -> Tensor:
                optimizer.zero_grad()
                loss = F.cross_entropy(module.net(x[batch]), y[batch])
                loss.backward()
                values.append(float(loss))
                return loss

            optimizer.step(closure)
            losses.append(values[0])
    return torch.cat([p.detach().flatten() for p in module.parameters()]), losses


@pytest.mark.parametrize("name", some_slow(OPTIMIZERS, QUICK))
def test_a_fit_is_that_of_a_plain_loop(name: str) -> None:
    fitted, job = fit(made(name))
    expected, losses = by_hand(name, job)
    torch.testing.assert_close(fitted.model.weights[0], expected, rtol=0, atol=1e-12)
    assert fitted.steps.item() == len(losses) == 6
    assert fitted.lr.item() == pytest.approx(sum([OPTIMIZERS[name]([torch.zeros(1)]).param_groups[0]["lr"]] * 6))
    assert fitted.loss.item() == pytest.approx(np.mean(losses), abs=1e-12), "that of the first evaluation of a batch"
    with pytest.raises(InputError, match="Fitted.gain"):
        fitted.gain  # noqa: B018


def test_each_evaluation_of_a_batch_has_the_same_draws() -> None:
    kept: list[float] = []

    class Keeps(Net):
        def on_train_end(self) -> None:
            kept[:] = self.draws

    torch.manual_seed(0)
    fit(Keeps(OPTIMIZERS["twice"], 0.5))
    assert len(kept) == 12 and kept[::2] == kept[1::2] and len(set(kept)) == 6


def proximal(grad: Tensor, w: Tensor) -> Tensor:
    return grad + 0.1 * w


def plain_gradient(step: Any, w: Tensor) -> Tensor:
    return torch.autograd.grad(step.loss(w).sum(), w)[0]


@pytest.mark.parametrize("name", some_slow(OPTIMIZERS, ["lbfgs", "sam"]))
@pytest.mark.parametrize("options", [{"adjust_gradient": proximal}, {"gradient_fn": plain_gradient}])
def test_algorithms_that_change_gradients_are_refused(name: str, options: dict[str, Any]) -> None:
    if name == "lbfgs of one iteration":
        fit(made(name), **options)  # it evaluates a batch once
        return
    with pytest.raises(InputError, match=r"evaluates a batch several times.*SGD or Adam, or write aggregator=fedavg"):
        fit(made(name), **options)


@pytest.mark.parametrize("name", some_slow(OPTIMIZERS, ["lbfgs"]))
def test_weights_that_are_not_trainable_stay_as_they_are(name: str) -> None:
    module = made(name)
    weights = torch.cat([p.detach().double().flatten() for p in module.parameters()])
    trainable = torch.arange(len(weights)) >= 35
    fitted, _ = fit(module, trainable=Model(trainable[None], torch.zeros(1, 0, dtype=torch.bool)))
    assert torch.equal(fitted.model.weights[0, :35], weights[:35])
    assert not torch.equal(fitted.model.weights[0, 35:], weights[35:])


def test_a_state_of_lists_is_not_kept_between_rounds() -> None:
    with pytest.raises(InputError, match="keep_optimizer_state=true: LBFGS keeps al, a list"):
        fit(made("lbfgs"), {"keep_optimizer_state": True})


def test_scaled_losses_are_refused() -> None:
    module = made("lbfgs")
    with pytest.raises(InputError, match="LBFGS, the optimiser of Net"):
        check_scaled(object(), [OPTIMIZERS["lbfgs"](module.parameters())], module)
    check_scaled(None, [OPTIMIZERS["lbfgs"](module.parameters())], module)
    check_scaled(object(), [OPTIMIZERS["sam"](module.parameters())], module)
