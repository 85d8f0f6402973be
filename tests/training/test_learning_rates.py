"""`Fitted.lr` and `Step.lr` are the rates of the steps that were taken, however clients are trained and grouped."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.optim import lr_scheduler as schedules

from fedlit.errors import InputError
from tests.slow import some_slow
from tests.training.module_kinds.case import CLASSES, WIDTH
from tests.training.module_kinds.optimizers import SCHEDULERS, Polyak, Scheduled
from tests.training.test_gain import QUICK_SCHEDULED, SCHEDULED, Net, fits, joined, kinds, ones

BRINGS_MOMENTUM = ("cyclic with momentum", "one cycle", "groups whose rates diverge and meet")
PLAIN = [name for name in SCHEDULED if name not in BRINGS_MOMENTUM]


@kinds
@pytest.mark.parametrize("name", some_slow(PLAIN, [name for name in QUICK_SCHEDULED if name in PLAIN]))
def test_learning_rates_under_a_scheduler_are_those_of_a_plain_trainer(name: str, kind: str) -> None:
    """An optimiser without momentum applies its learning rates to gradients of 1. `gradient_fn` reads each of them."""
    rates: list[Tensor] = []

    def configure(self: Any, o: Any) -> Any:
        for group in o.param_groups:
            group["momentum"] = 0.0
        return original(self, o)

    def gradient_fn(step: Any, w: Tensor, total: Tensor) -> Any:
        return torch.ones_like(w), {"total": total + step.lr}

    module = SCHEDULERS[name].make()
    assert isinstance(module, Scheduled)
    original, module.configure = module.configure, configure
    size = sum(p.numel() for p in module.parameters())
    carry = {"total": torch.zeros(1, size, dtype=torch.float64)}
    for fit in ({"adjust_gradient": ones}, {"gradient_fn": gradient_fn, "carry": carry}):
        results, start, _ = fits(lambda: module, kind, epochs=3, **fit)
        changes = joined([start.weights - fitted.model.weights for fitted in results])
        torch.testing.assert_close(joined([f.lr for f in results]).expand_as(changes), changes, rtol=0, atol=1e-12)
        rates += [f.carry["total"] for f in results if f.carry]
    torch.testing.assert_close(joined(rates), changes, rtol=0, atol=1e-12)


class TwoByHand(pl.LightningModule):
    """Manual optimisation: two optimisers with different rates; one steps twice as often."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.body, self.head = nn.Linear(WIDTH, 4), nn.Linear(4, CLASSES)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        body, head = self.optimizers()
        for optimizer in (body, head, head):
            optimizer.zero_grad()
            self.manual_backward(F.cross_entropy(self.head(self.body(batch[0])), batch[1]))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.body.parameters(), lr=0.1), optim.SGD(self.head.parameters(), lr=0.01)


def test_of_several_optimisers_each_has_its_own_rates_and_none_a_gain() -> None:
    results, _, layout = fits(TwoByHand, "lightning")
    lr = layout.pieces(results[0].lr)
    torch.testing.assert_close(lr["body.weight"], torch.full_like(lr["body.weight"], 0.7))
    torch.testing.assert_close(lr["head.bias"], torch.full_like(lr["head.bias"], 0.14))
    with pytest.raises(InputError, match="not defined for 2 optimisers"):
        _ = results[0].gain


# --- learning rates that the user changes by hand --------------------------------------------------------------------
class ByHand(Net):
    """Halves its learning rate before each step, in one place."""

    def __init__(self, place: str):
        super().__init__(lambda module: optim.SGD(module.parameters(), lr=0.8))
        self.place = place

    def halve(self, place: str) -> None:
        if place == self.place:
            for group in self.optimizers().param_groups:
                group["lr"] /= 2

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.halve("step")
        return super().training_step(batch, batch_idx)


class ByHandInHooks(ByHand):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.halve("batch")

    def on_after_backward(self) -> None:
        self.halve("backward")

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.halve("optimizer step")

    def configure_gradient_clipping(self, *args: Any, **options: Any) -> None:
        self.halve("clipping")

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        self.halve("around the step")
        optimizer.step(closure=optimizer_closure)


PLACES = ["batch", "step", "backward", "optimizer step", "clipping", "around the step"]


@pytest.mark.parametrize("kind, places", [("lightning", PLACES), ("one by one", ["step"])])
def test_rates_that_are_changed_by_hand(kind: str, places: list[str]) -> None:
    for place in places:
        net = ByHandInHooks if kind == "lightning" else ByHand
        results, start, _ = fits(lambda: net(place), kind, adjust_gradient=ones)  # noqa: B023
        changes = joined([start.weights - fitted.model.weights for fitted in results])
        assert float(changes[2, 0]) == pytest.approx(0.6), place  # 0.4 + 0.2
        for numbers in ([f.lr for f in results], [f.gain for f in results]):
            torch.testing.assert_close(joined(numbers).expand_as(changes), changes, rtol=0, atol=1e-12)


def reads_rate(step: Any, w: Tensor) -> Tensor:
    return torch.ones_like(w) * (step.lr > 0)


@pytest.mark.parametrize("place", PLACES)
def test_a_rate_that_an_algorithm_read_too_early_is_refused(place: str) -> None:
    if place in ("batch", "step", "around the step"):
        fits(lambda: ByHandInHooks(place), "lightning", gradient_fn=reads_rate)
        return
    with pytest.raises(InputError, match="changes the learning rate between the backward pass and the end"):
        fits(lambda: ByHandInHooks(place), "lightning", gradient_fn=reads_rate)
    results, start, _ = fits(lambda: ByHandInHooks(place), "lightning", gradient_fn=lambda step, w: torch.ones_like(w))
    changes = start.weights - results[0].model.weights
    torch.testing.assert_close(results[0].lr.expand_as(changes), changes)


@pytest.mark.parametrize("kind", ["lightning", "one by one"])  # a stack refuses such optimisers
def test_a_step_that_sets_its_own_rate(kind: str) -> None:
    results, start, _ = fits(lambda: Net(lambda m: Polyak(m.parameters(), lr=7.0)), kind, adjust_gradient=ones)
    for fitted, changes in ((f, start.weights - f.model.weights) for f in results):
        torch.testing.assert_close(fitted.lr.expand_as(changes), changes, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["lightning", "one by one"])  # a stack refuses such optimisers
def test_a_scheduler_in_a_hook_of_the_optimiser(kind: str) -> None:
    def make(module: Any) -> Any:
        sgd = optim.SGD(module.parameters(), lr=0.1)
        scheduler = schedules.ExponentialLR(sgd, 0.5)
        sgd.register_step_post_hook(lambda *args: scheduler.step())
        return sgd

    results, start, _ = fits(lambda: Net(make), kind, adjust_gradient=ones)
    for fitted, changes in ((f, start.weights - f.model.weights) for f in results):
        torch.testing.assert_close(fitted.lr.expand_as(changes), changes, rtol=0, atol=1e-12)
