"""`Fitted.gain` is what the steps applied of a constant gradient of 1, however clients are trained and grouped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.optim import lr_scheduler as schedules

from fedlit.client import Fitted
from fedlit.data import TensorSamples
from fedlit.errors import InputError
from fedlit.model_vectors import Model, tree_map
from fedlit.round import Round
from fedlit.server_round import ServerClient
from fedlit.training import Job
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.slow import some_slow
from tests.stacks import check_stacked
from tests.training.module_kinds.case import CLASSES, WIDTH
from tests.training.module_kinds.optimizers import SCHEDULERS
from tests.training.test_module_kinds import worker

SIZES = (14, 10, 3)  # samples of the clients; 7, 5 and 2 batches of two
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "stack": (VectorizedTrainer, {"stack": "always"}),
    "chunks of two and one": (VectorizedTrainer, {"stack": "always", "chunk": 2}),
    "chunks of one": (VectorizedTrainer, {"stack": "always", "chunk": 1}),
    "one by one": (VectorizedTrainer, {"stack": "never"}),
}
QUICK = ["lightning", "chunks of two and one"]
kinds = pytest.mark.parametrize("kind", some_slow(KINDS, QUICK))
most_kinds = pytest.mark.parametrize("kind", some_slow([kind for kind in KINDS if kind != "chunks of one"], QUICK))


class Net(pl.LightningModule):
    """Two linear layers whose optimiser `make(module)` gives."""

    def __init__(self, make: Callable[[Any], Any]):
        super().__init__()
        self.body, self.head, self.make = nn.Linear(WIDTH, 4), nn.Linear(4, CLASSES), make

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        return self.make(self)


def sgd(**options: Any) -> Callable[[Any], Any]:
    return lambda module: optim.SGD(module.parameters(), **({"lr": 0.1, "momentum": 0.9} | options))


def fits(
    module: Callable[[], pl.LightningModule],
    kind: str,
    epochs: int = 1,
    trainer: Any = None,
    dtype: torch.dtype = torch.float64,
    stacks: bool = True,
    **fit: Any,
) -> Any:
    """The fits of the clients' chunks, the initial model, and the layout.

    Args:
        stacks: the vectorized trainer can stack the module; else its clients are trained one by one.
    """
    torch.manual_seed(0)
    trainer_class, options = KINDS[kind]
    x = torch.randn(sum(SIZES), WIDTH, dtype=dtype)
    samples = TensorSamples(x, torch.arange(len(x)) % CLASSES)
    fit_worker = worker(trainer_class, module(), samples, **options, **(trainer or {}))
    parts = np.split(np.arange(len(x)), np.cumsum(SIZES)[:-1])
    jobs = [Job(c, Round(1, 0, [0, 1, 2], 3), 2, epochs, part) for c, part in enumerate(parts)]
    start = fit_worker.host.layout.read(fit_worker.host.module)
    counts = counters(fit_worker.host.module)
    results: list[Fitted] = []
    for rows in fit_worker.chunks(jobs):
        client = fit_worker.client(jobs[rows], counts, [{}] * len(jobs[rows]))
        results.append(client.fit(start, **fit))
    if stacks and options.get("stack") == "always":
        check_stacked(fit_worker)
    return results, start, fit_worker.host.layout


def joined(parts: list[Tensor]) -> Tensor:
    width = max(p.shape[1] for p in parts)
    return torch.cat([p.expand(-1, width) for p in parts])


def ones(g: Tensor, w: Tensor) -> Tensor:
    return torch.ones_like(g)


def applied(module: Callable[[], Any], kind: str, **options: Any) -> tuple[Tensor, Tensor]:
    """What the optimiser itself applied of gradients of 1, (3, P), and the gain."""
    results, start, _ = fits(module, kind, adjust_gradient=ones, **options)
    changes = joined([start.weights - fitted.model.weights for fitted in results])
    return changes, joined([fitted.gain for fitted in results]).expand_as(changes)


GOLDEN = {  # of seven steps
    2.304672: {},
    1.413188: {"dampening": 0.5},
    2.774205: {"nesterov": True},
    0.7: {"momentum": 0.0},
    -2.304672: {"maximize": True},
}


@kinds
@pytest.mark.parametrize("golden", GOLDEN)
def test_golden_gains_of_seven_steps(golden: float, kind: str) -> None:
    results, _, _ = fits(lambda: Net(sgd(**GOLDEN[golden])), kind)
    gain = joined([fitted.gain for fitted in results])
    assert gain.shape == (3, 1) and float(gain[0]) == pytest.approx(golden, abs=1e-6)


@kinds
def test_golden_gain_under_a_scheduler(kind: str) -> None:
    """Five steps with learning rates .1, .08, .05, .02, .01."""

    def scheduled(module: Any) -> Any:
        sgd = optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        scheduler = schedules.LambdaLR(sgd, lambda step: [1, 0.8, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1][step])
        return [sgd], [{"scheduler": scheduler, "interval": "step"}]

    results, _, _ = fits(lambda: Net(scheduled), kind)
    assert float(joined([fitted.gain for fitted in results])[1]) == pytest.approx(0.497231, abs=1e-6)
    np.testing.assert_allclose(joined([fitted.lr for fitted in results])[:, 0], [0.28, 0.26, 0.18])


def two_groups(module: Any) -> Any:
    head = {"params": module.head.parameters(), "lr": 0.02, "momentum": 0.5, "dampening": 0.2}
    return optim.SGD([{"params": module.body.parameters()}, head], lr=0.1, momentum=0.9)


def groups_by_lambda(module: Any) -> Any:
    sgd = two_groups(module)
    scheduler = schedules.LambdaLR(sgd, [lambda step: 1 / (1 + step), lambda step: 1.0])
    return [sgd], [{"scheduler": scheduler, "interval": "step"}]


def cyclic_from_no_momentum(module: Any) -> Any:
    sgd = optim.SGD(module.parameters(), lr=0.1, momentum=0.9, dampening=0.4)
    scheduler = schedules.CyclicLR(sgd, 0.01, 0.2, 2, base_momentum=0.0, max_momentum=0.9)
    for group in sgd.param_groups:
        group["momentum"] = 0.0
    return [sgd], [{"scheduler": scheduler, "interval": "step"}]


def half_frozen_in_the_optimizer(module: Any) -> Any:
    return optim.SGD(module.head.parameters(), lr=0.1, momentum=0.9)


CONFIGURED: dict[str, Callable[[Any], Any]] = {
    "plain": sgd(momentum=0.0),
    "momentum": sgd(),
    "dampened": sgd(dampening=0.3),
    "nesterov": sgd(nesterov=True),
    "maximize": sgd(maximize=True),
    "maximize without momentum": sgd(maximize=True, momentum=0.0),
    "foreach": sgd(foreach=True),
    "fused": sgd(fused=True),
    "a tensor as learning rate": sgd(lr=torch.tensor(0.1, dtype=torch.float64), foreach=False),
    "groups": two_groups,
    "groups by lambda": groups_by_lambda,
    "momentum begins later": cyclic_from_no_momentum,
    "a layer without an optimiser": half_frozen_in_the_optimizer,
}
SCHEDULED = [name for name in SCHEDULERS if "nadam" not in name and "plateau" not in name]
QUICK_SCHEDULED = [
    *(
        "scheduler by step",
        "scheduler by every second epoch",
        "one cycle",
        "cyclic with momentum",
        "dict of a scheduler",
    ),
    *("groups whose rates diverge and meet", "two schedulers"),
]


@most_kinds
@pytest.mark.parametrize("name", CONFIGURED)
def test_the_gain_is_what_the_optimiser_applies_of_gradients_of_1(name: str, kind: str) -> None:
    changes, gain = applied(lambda: Net(CONFIGURED[name]), kind)
    moved = changes != 0
    assert moved.any(1).all() and bool((gain != 0).all())
    torch.testing.assert_close(gain[moved], changes[moved], rtol=0, atol=1e-12)


@kinds
@pytest.mark.parametrize("name", some_slow(SCHEDULED, QUICK_SCHEDULED))
def test_the_gain_under_a_scheduler(name: str, kind: str) -> None:
    changes, gain = applied(SCHEDULERS[name].make, kind, epochs=3)
    torch.testing.assert_close(gain, changes, rtol=0, atol=1e-12)


@most_kinds
@pytest.mark.parametrize("options", [{}, {"lr": 0.3}, {"momentum": 0.0}], ids=str)
def test_without_momentum_the_gain_has_the_bits_of_the_rates(options: dict[str, Any], kind: str) -> None:
    for precision, dtype in (("32-true", torch.float32), ("64-true", torch.float64)):
        results, _, _ = fits(lambda: Net(sgd(**options)), kind, 2, {"precision": precision}, dtype)
        for fitted in results:
            assert torch.equal(fitted.gain, fitted.lr) is (options.get("momentum") == 0.0)


class Subclass(optim.SGD):
    """SGD under another name."""


class OtherStep(optim.SGD):
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


def patched(module: Any) -> Any:
    sgd = optim.SGD(module.parameters(), lr=0.1)
    original = sgd.step
    sgd.step = lambda closure=None: original(closure)  # type: ignore[method-assign]
    return sgd


UNDEFINED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "adam": (lambda m: optim.Adam(m.parameters()), "not for Adam; train with SGD"),
    "adamw": (lambda m: optim.AdamW(m.parameters()), "not for AdamW"),
    "rmsprop": (lambda m: optim.RMSprop(m.parameters(), momentum=0.9), "not for RMSprop"),
    "a step of its own": (lambda m: OtherStep(m.parameters(), lr=0.1), "not for OtherStep"),
    "a patched step": (patched, "not for SGD|not for"),
}


@pytest.mark.parametrize("kind", ["lightning", "stack", "chunks of one", "one by one"])
@pytest.mark.parametrize("name", UNDEFINED)
def test_a_gain_that_is_not_defined_is_refused_when_it_is_asked_for(name: str, kind: str) -> None:
    make, reason = UNDEFINED[name]
    results, _, _ = fits(lambda: Net(make), kind, stacks=name != "a patched step")
    for fitted in results:
        assert torch.isfinite(fitted.model.weights).all() and (fitted.lr > 0).all()
        with pytest.raises(InputError, match=reason) as caught:
            _ = fitted.gain
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["lightning", "stack", "one by one"])
def test_a_subclass_without_a_step_of_its_own_has_a_gain(kind: str) -> None:
    changes, gain = applied(lambda: Net(lambda m: Subclass(m.parameters(), lr=0.1, momentum=0.9)), kind)
    torch.testing.assert_close(gain, changes, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["lightning", "stack"])
def test_where_clients_keep_the_optimiser_state_there_is_no_gain(kind: str) -> None:
    trainer = {"keep_optimizer_state": True}
    for make in (sgd(), cyclic_from_no_momentum, sgd(momentum=0.0)):
        results, _, _ = fits(lambda: Net(make), kind, trainer=trainer, stacks=False)  # noqa: B023
        with pytest.raises(InputError, match=r"write trainer\.keep_optimizer_state=false"):
            _ = results[0].gain


class Unused(Net):
    """A layer on which the loss does not depend."""

    def __init__(self, make: Callable[[Any], Any]):
        super().__init__(make)
        self.unused = nn.Linear(3, 3)


class LateHead(Net):
    """The head gets a gradient from the second epoch on."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        features = torch.tanh(self.body(batch[0]))
        out = self.head(features) if self.current_epoch else features[:, :CLASSES]
        return F.cross_entropy(out, batch[1])


class Joins(Net):
    """The head joins the optimiser's group in the second epoch, in place of a group of its own."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        optimizer: Any = self.optimizers()
        if self.current_epoch == 0:
            optimizer.param_groups[0]["params"] = list(self.body.parameters())
        elif batch_idx == 0:
            optimizer.param_groups[0]["params"] = list(self.parameters())
        return super().training_step(batch, batch_idx)


@most_kinds
@pytest.mark.parametrize("make", [sgd(), sgd(momentum=0.0)], ids=["momentum", "plain"])
def test_a_parameter_that_joins_a_group_later(make: Callable[[Any], Any], kind: str) -> None:
    changes, gain = applied(lambda: Joins(make), kind, epochs=2, stacks=False)
    torch.testing.assert_close(gain, changes, rtol=0, atol=1e-12)
    assert len(gain[0].unique()) == 2


@most_kinds
@pytest.mark.parametrize("make", [sgd(), sgd(momentum=0.0), two_groups], ids=["momentum", "plain", "groups"])
@pytest.mark.parametrize("net", [Unused, LateHead])
def test_parameters_without_a_gradient(net: Any, make: Callable[[Any], Any], kind: str) -> None:
    """Steps without a gradient are not in the gain; a parameter that is never stepped has no gain of 0."""
    changes, gain = applied(lambda: net(make), kind, epochs=2, stacks=net is not LateHead)
    moved = changes != 0
    assert bool(moved.all()) is (net is LateHead)
    torch.testing.assert_close(gain[moved], changes[moved], rtol=0, atol=1e-12)
    assert bool((gain > 0).all())


@most_kinds
def test_a_mask_of_trainable_positions(kind: str) -> None:
    torch.manual_seed(0)
    size = sum(p.numel() for p in Net(sgd()).parameters())
    mask = Model(torch.arange(size) % 3 > 0, torch.zeros(0, dtype=torch.bool))
    changes, gain = applied(lambda: Net(sgd(weight_decay=0.0)), kind, trainable=mask)
    torch.testing.assert_close(changes, gain * mask.weights, rtol=0, atol=1e-12)


@most_kinds
def test_weight_decay_counts_as_part_of_the_gradient(kind: str) -> None:
    """With one step the change over the gain is gradient + decay times weights."""
    results, start, _ = fits(
        lambda: Net(sgd(weight_decay=0.5)), kind, adjust_gradient=ones, trainer={"limit_train_batches": 1}
    )
    for fitted in results:
        mean = (start.weights - fitted.model.weights) / fitted.gain
        torch.testing.assert_close(mean, (1 + 0.5 * start.weights).expand_as(mean), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["lightning", "stack", "one by one"])
def test_clipping_counts_as_part_of_the_gradient(kind: str) -> None:
    trainer = {"gradient_clip_val": 0.25, "gradient_clip_algorithm": "value"}
    changes, gain = applied(lambda: Net(sgd()), kind, trainer=trainer)
    torch.testing.assert_close(changes, 0.25 * gain, rtol=0, atol=1e-12)


def test_under_accumulation_the_gain_is_of_the_steps() -> None:
    changes, gain = applied(lambda: Net(sgd()), "lightning", trainer={"accumulate_grad_batches": 2})
    torch.testing.assert_close(changes, gain, rtol=0, atol=1e-12)
    assert float(gain[0, 0]) == pytest.approx(0.1 * sum((1 - 0.9**j) / 0.1 for j in range(1, 5)))


def test_the_server_sees_the_gain_without_a_client_axis() -> None:
    fitted = Fitted(*([tree_map(torch.zeros_like, Model(torch.ones(1, 2), torch.ones(1, 0)))] + [torch.ones(1, 1)] * 3))
    fitted.compute_gain = lambda: torch.full((1, 2), 3.0)

    class Clients:
        def fit(self, *args: Any, **options: Any) -> Fitted:
            return fitted

    assert ServerClient(Clients()).fit(Model(torch.ones(2), torch.ones(0))).gain.tolist() == [3.0, 3.0]  # type: ignore[arg-type]
