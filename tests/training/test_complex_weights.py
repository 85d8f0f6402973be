"""Complex weights and buffers, against a plain loop over their real and imaginary parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedlit.aggregators import Aggregator, FedAvg, FedProx
from fedlit.client import Client
from fedlit.model_vectors import Layout, Model
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import CLASSES, WIDTH, Listed, Running, numbers
from tests.slow import some_slow
from tests.training.proximal_gradient import ProximalGradient

MU, LR, DECAY, MOMENTUM = 0.4, 0.1, 0.05, 0.9
TRAINERS: dict[str, Any] = {"lightning": LightningTrainer, "one by one": VectorizedTrainer}


class Waves(pl.LightningModule):
    """The loss of |w x|^2 + Re(phase w x), with complex weights w and a complex buffer that steps change."""

    def __init__(self) -> None:
        super().__init__()
        parts = torch.linspace(-1, 1, 2 * CLASSES * WIDTH, dtype=torch.float64).view(2, CLASSES, WIDTH)
        self.w = nn.Parameter(torch.complex(parts[0], parts[1].flip(0)))
        self.bias = nn.Parameter(torch.zeros(CLASSES))
        self.register_buffer("phase", torch.tensor(0.5 - 0.25j, dtype=torch.complex128))

    def forward(self, x: Tensor) -> Tensor:
        z = x.to(self.w.dtype) @ self.w.T
        return z.abs() ** 2 + (self.phase * z).real + self.bias

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.phase = 0.5 * self.phase + batch[0].mean() * 0.5j
        return loss


class Part(FedAvg):
    """Trains the complex weights alone."""

    def setup(self, layout: Layout, clients: int) -> None:
        self.trainable = layout.where("w")

    def local_update(self, client: Client, received: Any, state: Any) -> Any:
        x = received["model"]
        return {"delta": client.fit(x, trainable=self.trainable).model - x}, state


ALGORITHMS: dict[str, Any] = {
    "fedavg": FedAvg,
    "fedprox": lambda: FedProx(MU),
    "gradient_fn": lambda: ProximalGradient(MU),
    "trainable": Part,
}


def fit(model: dict[str, Tensor], batches: list[list[int]], algorithm: str, clip: float | None) -> dict[str, Tensor]:
    """SGD with momentum and weight decay on real tensors: a, b are the parts of w, and p, q those of the buffer."""
    x, y = numbers()
    w, (p, q) = {n: model[n] for n in ("a", "b", "bias")}, (model["p"], model["q"])
    start, velocity = dict(w), {n: torch.zeros_like(t) for n, t in w.items()}
    names = ["a", "b"] if algorithm == "trainable" else list(w)
    mu = MU if algorithm in ("fedprox", "gradient_fn") else 0.0
    for batch in batches:
        leaves = {n: t.clone().requires_grad_() for n, t in w.items()}
        re, im = x[batch] @ leaves["a"].T, x[batch] @ leaves["b"].T
        loss = F.cross_entropy(re**2 + im**2 + p * re - q * im + leaves["bias"], y[batch])
        raw = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        gradient = {n: raw[n] + mu * (w[n] - start[n]) for n in names}
        norm = float(sum(g.square().sum() for g in gradient.values())) ** 0.5
        factor = min(1.0, clip / (norm + 1e-6)) if clip else 1.0
        for n in names:
            velocity[n] = MOMENTUM * velocity[n] + factor * gradient[n] + DECAY * w[n]
            w[n] = w[n] - LR * velocity[n]
        p, q = 0.5 * p, 0.5 * q + 0.5 * x[batch].mean()
    return {**w, "p": p, "q": q} if algorithm != "trainable" else {**w, "p": model["p"], "q": model["q"]}


class Divided(Aggregator):
    """The change of a client over the gain of its fit."""

    def local_update(self, client: Client, received: Any, state: Any) -> Any:
        fitted = client.fit(received["model"])
        change = fitted.model - received["model"]
        return {"delta": Model(change.weights / fitted.gain, change.statistics), "lr": fitted.lr}, state


@pytest.mark.parametrize("trainer", TRAINERS)
def test_rates_of_parameter_groups_count_for_both_parts(trainer: str, tmp_path: Path) -> None:
    def change(aggregator: Aggregator) -> tuple[Tensor, Layout]:
        net = Waves()
        groups = [{"params": [net.w], "lr": 0.01}, {"params": [net.bias], "lr": LR}]
        net.configure_optimizers = lambda: torch.optim.SGD(groups)  # type: ignore[method-assign]
        run = Running(tmp_path, aggregator, Listed([0]), net, batch_size=100, epochs=1, kind=TRAINERS[trainer])
        return run.go(1).weights - run.start.weights, run.layout

    (by_gain, layout), (plain, _) = change(Divided()), change(FedAvg())
    rates = 0.01 * layout.where("w").weights.double() + LR * layout.where("bias").weights.double()
    torch.testing.assert_close(by_gain, plain / rates, rtol=1e-9, atol=1e-9)


def parts(named: dict[str, Tensor]) -> dict[str, Tensor]:
    w, phase = named["w"], named["phase"]
    return {"a": w.real, "b": w.imag, "bias": named["bias"], "p": phase.real, "q": phase.imag}


CASES = [(t, a, c) for t in TRAINERS for a in ALGORITHMS for c in (None, 0.3)]


@pytest.mark.parametrize(
    ("trainer", "algorithm", "clip"),
    some_slow(
        CASES, [("lightning", "fedavg", None), ("lightning", "gradient_fn", 0.3), ("one by one", "fedprox", None)]
    ),
)
def test_rounds_train_both_parts(trainer: str, algorithm: str, clip: float | None, tmp_path: Path) -> None:
    run = Running(
        tmp_path,
        ALGORITHMS[algorithm](),
        net=Waves(),
        kind=TRAINERS[trainer],
        optimizer={"lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY},
        gradient_clip_val=clip,
    )
    model = parts(run.layout.named(run.start))
    for number in (1, 2):
        orders = run.orders(number, range(4))
        trained = {c: fit(model, orders[c], algorithm, clip) for c in orders}
        sizes = {c: len({i for batch in orders[c] for i in batch}) for c in orders}
        model = {n: sum(sizes[c] * trained[c][n] for c in orders) / sum(sizes.values()) for n in model}
    result = parts(run.go(2).named())
    for name, value in model.items():
        torch.testing.assert_close(result[name], value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("trainer", some_slow(TRAINERS, []))
def test_the_optimizer_keeps_its_complex_state(trainer: str, tmp_path: Path) -> None:
    """Momentum that is kept: two rounds of one client are a plain loop over all its batches."""
    options = {"lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY}
    run = Running(
        tmp_path,
        FedAvg(),
        Listed([0], [0]),
        Waves(),
        kind=TRAINERS[trainer],
        optimizer=options,
        keep_optimizer_state=True,
    )
    model = parts(run.layout.named(run.start))
    batches = [batch for number in (1, 2) for batch in run.orders(number, [0])[0]]
    wanted, result = fit(model, batches, "fedavg", None), parts(run.go(2).named())
    for name, value in wanted.items():
        torch.testing.assert_close(result[name], value, rtol=0, atol=1e-9)


def test_a_layout_has_both_parts_of_a_complex_tensor() -> None:
    module = Waves()
    layout = Layout(module)
    assert (layout.size, layout.dtype) == (2 * CLASSES * WIDTH + CLASSES, torch.float64)
    assert layout.weights["w"] == (CLASSES, WIDTH, 2) and layout.counters == []
    model = layout.read(module)
    assert model.statistics.tolist() == [0.5, -0.25]
    layout.write(module, model * 2)
    assert module.phase.item() == 1 - 0.5j
    torch.testing.assert_close(layout.named(model)["w"] * 2, module.w.detach())
    assert layout.where("w").weights.sum() == 2 * CLASSES * WIDTH
