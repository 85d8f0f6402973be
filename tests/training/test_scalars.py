"""Parameters and buffers without dimensions: rounds of algorithms against a plain loop that is written out here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedlit.aggregators import Aggregator, FedAvg, FedPer, FedProx
from fedlit.engines import Engine, Processes, Serial
from fedlit.model_vectors import Layout, Model
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import CLASSES, WIDTH, Running, numbers
from tests.training.proximal_gradient import ProximalGradient

DECAY, MOMENTUM, LR = 0.1, 0.9, 0.1
TRAINERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "stack": (VectorizedTrainer, {"stack": "always"}),
    "chunks of one": (VectorizedTrainer, {"stack": "always", "chunk": 1}),
    "traced": (VectorizedTrainer, {"stack": "always", "compile": "trace"}),
    "one by one": (VectorizedTrainer, {"stack": "never"}),
}
QUICK = [
    ("lightning", "fedprox"),
    ("stack", "fedprox"),
    ("stack", "fedper"),
    *((t, "gradient_fn") for t in ("lightning", "stack", "one by one")),
]
ALGORITHMS: dict[str, Any] = {
    "fedavg": FedAvg,
    "fedprox": lambda: FedProx(mu=0.3),
    "gradient_fn": lambda: ProximalGradient(mu=0.3),
    "fedper": lambda: FedPer(head="temperature"),
}


class Scaled(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(0.5))
        self.head = nn.Linear(WIDTH, CLASSES)
        self.register_buffer("running", torch.tensor(0.25))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x) * self.temperature * (1 + self.running)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.running = 0.5 * self.running + 0.5 * batch[0].mean()
        self.steps += 1
        return loss


def fit(named: dict[str, Tensor], batches: list[list[int]], mu: float) -> dict[str, Tensor]:
    """The fit of one client by SGD with momentum and weight decay, and the proximal term."""
    x, y = numbers()
    w, running = {n: t for n, t in named.items() if n != "running"}, named["running"]
    start, velocity = dict(w), {n: torch.zeros_like(t) for n, t in w.items()}
    for batch in batches:
        leaves = {n: t.clone().requires_grad_() for n, t in w.items()}
        outputs = (x[batch] @ leaves["head.weight"].T + leaves["head.bias"]) * leaves["temperature"] * (1 + running)
        log_p = outputs - outputs.exp().sum(1, keepdim=True).log()
        loss = -log_p[torch.arange(len(batch)), y[batch]].mean()
        for name, gradient in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
            gradient = gradient + mu * (w[name] - start[name]) + DECAY * w[name]
            velocity[name] = MOMENTUM * velocity[name] + gradient
            w[name] = w[name] - LR * velocity[name]
        running = 0.5 * running + 0.5 * x[batch].mean()
    return {**w, "running": running}


@pytest.mark.parametrize(
    ("trainer", "algorithm"),
    [pytest.param(t, a, marks=[] if (t, a) in QUICK else [pytest.mark.slow]) for t in TRAINERS for a in ALGORITHMS],
)
def test_scalars_train_as_a_plain_loop_trains_them(trainer: str, algorithm: str, tmp_path: Path) -> None:
    with Serial() as engine:
        compare(tmp_path, trainer, algorithm, engine)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["lightning", "stack"])
def test_scalars_reach_worker_processes(trainer: str, tmp_path: Path) -> None:
    with Processes(workers=2) as engine:
        compare(tmp_path, trainer, "fedper", engine)


def compare(folder: Path, trainer: str, algorithm: str, engine: Engine) -> None:
    kind, options = TRAINERS[trainer]
    optimizer = {"lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY}
    aggregator: Aggregator = ALGORITHMS[algorithm]()
    run = Running(folder, aggregator, net=Scaled(), optimizer=optimizer, kind=kind, engine=engine, **options)
    model = run.layout.named(run.start)
    private = {"temperature"} if algorithm == "fedper" else set[str]()
    kept = {c: {n: model[n] for n in private} for c in range(4)}
    for number in (1, 2):
        orders = run.orders(number, range(4))
        mu = 0.3 if algorithm in ("fedprox", "gradient_fn") else 0.0
        trained = {c: fit(model | kept[c], orders[c], mu) for c in range(4)}
        sizes = {c: len({i for batch in orders[c] for i in batch}) for c in range(4)}
        model = {n: sum(sizes[c] * trained[c][n] for c in trained) / sum(sizes.values()) for n in model}
        kept = {c: {n: trained[c][n] for n in private} for c in trained}
    run.go(2)
    if private:
        shared = run.state.server["shared"]
        result = {n: shared.weights[at] for n, at in (("head.weight", slice(0, 18)), ("head.bias", slice(18, 21)))}
        result = {n: t.view(model[n].shape) for n, t in result.items()} | {"running": shared.statistics[0]}
        for client, values in kept.items():
            torch.testing.assert_close(run.client_state(client)["private"].weights[0], values["temperature"])
    else:
        result = run.named()
    for name, value in result.items():
        torch.testing.assert_close(value, model[name], rtol=0, atol=1e-9)
        assert value.shape == model[name].shape
    steps = sum(-(-13 // 4) * 2 for _ in (1, 2))
    assert int(run.state.counters["steps"]) == steps


def test_a_vector_is_cut_into_scalars_and_one_number_stands_for_all() -> None:
    layout = Layout(Scaled())
    vector = torch.arange(2.0 * layout.size).view(2, -1)
    assert layout.pieces(vector)["temperature"].tolist() == [0.0, layout.size]
    assert layout.pieces(vector[0])["temperature"].shape == ()
    assert layout.pieces(torch.ones(1))["temperature"].shape == ()
    assert layout.pieces(torch.ones(2, 1))["temperature"].shape == (2,)
    module = Scaled()
    layout.write(module, Model(vector[1], torch.tensor([9.0])))
    assert (module.temperature.item(), module.running.item()) == (layout.size, 9.0)
    assert layout.where("temperature").weights.tolist() == [True] + [False] * (layout.size - 1)
