"""Optimisers, and learning rate schedulers in the forms that `configure_optimizers` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler as schedules

from tests.training.module_kinds.case import Case, Plain, looped, optimizer, text, vectors
from tests.training.module_kinds.layers import embedded


class TensorByTensor(optim.Optimizer):
    """`move` steps one weight tensor that has a gradient."""

    def __init__(self, params: Any, lr: float):
        super().__init__(params, {"lr": lr})

    def move(self, p: Tensor, lr: float) -> None:
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = closure and torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.move(p, group["lr"])
        return loss


class Lamb(TensorByTensor):
    """Steps of the length of the weights: a norm over the whole tensor (You et al. 2020)."""

    def move(self, p: Tensor, lr: float) -> None:
        assert p.grad is not None
        p.sub_(lr * p.norm() / (p.grad.norm() + 1e-9) * p.grad)


class ClipsByNorm(TensorByTensor):
    """Clips gradients of a norm above ten; those in a trial are smaller."""

    def move(self, p: Tensor, lr: float) -> None:
        assert p.grad is not None
        p.sub_(lr * (10 / p.grad.norm()).clamp_max(1) * p.grad)


class Sign(TensorByTensor):
    """Elementwise, with momentum (Chen et al. 2023)."""

    def move(self, p: Tensor, lr: float) -> None:
        assert p.grad is not None
        kept = self.state[p].setdefault("momentum", torch.zeros_like(p))
        p.sub_(lr * torch.sign(kept.mul_(0.9).add_(p.grad)))


class FilledAtOnce(TensorByTensor):
    """Adagrad whose `__init__` fills the state, as torch's own does before 2.13."""

    def __init__(self, params: Any, lr: float, by_size: bool = False):
        super().__init__(params, lr)
        for p in self.param_groups[0]["params"]:
            self.state[p] = {"sum": torch.full_like(p, p.numel() if by_size else 0.1)}

    def move(self, p: Tensor, lr: float) -> None:
        assert p.grad is not None
        p.sub_(lr * p.grad / self.state[p]["sum"].addcmul_(p.grad, p.grad).sqrt())


class Noisy(optim.SGD):
    """Adds noise, as Langevin dynamics do."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for p in self.param_groups[0]["params"]:
            p.add_(0.01 * torch.randn_like(p))
        return loss


class Slow(optim.SGD):
    """Every tenth step goes back half of the way (Zhang et al. 2019); its count is in a list."""

    def __init__(self, params: Any, lr: float):
        super().__init__(params, lr)
        self.count = [0]
        self.slow = [p.detach().clone() for p in self.param_groups[0]["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        self.count[0] += 1
        if self.count[0] % 10 == 0:
            for p, slow in zip(self.param_groups[0]["params"], self.slow, strict=True):
                p.copy_(slow.lerp_(p, 0.5))
        return loss


class CountsInItsGroups(optim.SGD):
    """Its count is in the groups, and the count acts after a hundred steps."""

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            group["k"] = group.get("k", 0) + 1
        return loss


class CountsItself(optim.SGD):
    def step(self, closure: Any = None) -> Any:
        self.k = getattr(self, "k", 0) + 1
        return super().step(closure)


class Polyak(optim.SGD):
    """Needs the loss."""

    def step(self, closure: Any = None) -> Any:
        assert closure is not None
        loss = torch.enable_grad()(closure)()
        for group in self.param_groups:
            group["lr"] = 0.1 * float(loss)
        super().step()
        return loss


class Twice(optim.SGD):
    """Calls the step twice, as sharpness-aware minimisation does."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        torch.enable_grad()(closure)()
        super().step()
        return super().step(torch.enable_grad()(closure))


class SparseText(Plain):
    def configure_optimizers(self) -> Any:
        return optim.SparseAdam(self.net.letters.parameters(), 0.01)


def sgd(params: Any, **options: Any) -> optim.Optimizer:
    return optim.SGD(params, **({"lr": 0.1, "momentum": 0.9} | options))


def groups(params: list[nn.Parameter]) -> Any:
    body, head = {"params": params[:2]}, {"params": params[2:], "lr": 0.02, "weight_decay": 0.1, "momentum": 0.5}
    return sgd([body, head])


def nudged(params: Any) -> Any:
    def shrink(nudged_sgd: Any, args: Any, options: Any) -> None:
        for p in nudged_sgd.param_groups[0]["params"]:
            p.data.mul_(0.99)

    nudged_sgd = sgd(params)
    nudged_sgd.register_step_post_hook(shrink)
    return nudged_sgd


OPTIMIZERS: dict[str, Case] = {
    "sgd": optimizer(lambda ps: optim.SGD(ps, lr=0.1)),
    "sgd, dampened": optimizer(lambda ps: sgd(ps, dampening=0.3, weight_decay=0.01)),
    "sgd, nesterov": optimizer(lambda ps: sgd(ps, nesterov=True)),
    "sgd, maximize": optimizer(lambda ps: sgd(ps, maximize=True, lr=0.01)),
    "groups": optimizer(groups),
    "adam": optimizer(lambda ps: optim.Adam(ps, 0.01, weight_decay=0.01)),
    "adam with amsgrad": optimizer(lambda ps: optim.Adam(ps, 0.01, amsgrad=True)),
    "adamw with amsgrad": optimizer(lambda ps: optim.AdamW(ps, 0.01, amsgrad=True)),
    "fused adam": optimizer(lambda ps: optim.Adam(ps, 0.01, fused=True)),
    "fused sgd": optimizer(lambda ps: sgd(ps, fused=True)),
    "foreach adamw": optimizer(lambda ps: optim.AdamW(ps, 0.01, foreach=True)),
    "fused adagrad": optimizer(lambda ps: optim.Adagrad(ps, 0.01, fused=True)),
    "a tensor as learning rate": optimizer(lambda ps: optim.Adam(ps, torch.tensor(0.01), foreach=False)),
    "nadam": optimizer(lambda ps: optim.NAdam(ps, 0.01)),
    "radam": optimizer(lambda ps: optim.RAdam(ps, 0.01)),
    "rmsprop": optimizer(lambda ps: optim.RMSprop(ps, 0.01, momentum=0.5, centered=True)),
    "adagrad": optimizer(lambda ps: optim.Adagrad(ps, 0.01, lr_decay=0.1)),
    "adadelta": optimizer(lambda ps: optim.Adadelta(ps)),
    "adamax": optimizer(lambda ps: optim.Adamax(ps, 0.01)),
    "asgd": optimizer(lambda ps: optim.ASGD(ps, 0.05, t0=1)),
    "rprop": optimizer(lambda ps: optim.Rprop(ps, 0.01)),
    "adafactor": looped(optimizer(lambda ps: optim.Adafactor(ps, 0.01))),
    "lamb": looped(optimizer(lambda ps: Lamb(ps, 0.01)), "by itself"),
    "lamb with a tiny rate": looped(optimizer(lambda ps: Lamb(ps, 1e-8)), "by itself"),
    "an optimiser that clips large gradients": looped(optimizer(lambda ps: ClipsByNorm(ps, 0.1)), "by itself"),
    "an elementwise optimiser of the user's": optimizer(lambda ps: Sign(ps, 0.01)),
    "an optimiser that fills its state at once": optimizer(lambda ps: FilledAtOnce(ps, 0.01)),
    "a first state by the size of a weight": looped(optimizer(lambda ps: FilledAtOnce(ps, 0.01, True)), "begins with"),
    "an optimiser with noise": looped(optimizer(lambda ps: Noisy(ps, 0.1))),
    "an optimiser with slow weights": looped(optimizer(lambda ps: Slow(ps, 0.1)), "optimiser"),
    "an optimiser that counts in its groups": looped(optimizer(lambda ps: CountsInItsGroups(ps, lr=0.1)), "optimiser"),
    "an optimiser for sparse gradients": looped(
        Case("stacked", lambda: SparseText(embedded(sparse=True)()), text), "SparseAdam"
    ),
    "an optimiser that counts on itself": looped(optimizer(lambda ps: CountsItself(ps, lr=0.1)), "optimiser"),
    "an optimiser that needs the loss": looped(optimizer(lambda ps: Polyak(ps, lr=0.1))),
    "an optimiser with a hook": looped(optimizer(nudged), "hook"),
}


# --- schedulers ------------------------------------------------------------------------------------------------------
class Scheduled(Plain):
    def __init__(self, configure: Callable[[Any, Any], Any]):
        super().__init__()
        self.configure = configure

    def configure_optimizers(self) -> Any:
        return self.configure(self, sgd(self.parameters()))


def scheduled(configure: Callable[[Any, Any], Any]) -> Case:
    return Case("stacked", lambda: Scheduled(configure), vectors)


def by(scheduler: Callable[[Any], Any], **config: Any) -> Case:
    return scheduled(lambda self, o: {"optimizer": o, "lr_scheduler": {"scheduler": scheduler(o), **config}})


def one_cycle(self: Any, o: Any) -> Any:
    total = self.trainer.estimated_stepping_batches
    return [o], [{"scheduler": schedules.OneCycleLR(o, 0.2, total_steps=total), "interval": "step"}]


def parting(self: Any, o: Any) -> Any:
    body, *head = self.parameters()
    o = sgd([{"params": [body]}, {"params": head}])
    return [o], [{"scheduler": schedules.LambdaLR(o, [lambda at: 1, lambda at: 1 + at % 3]), "interval": "step"}]


def warm_up(o: Any) -> Any:
    first, then = schedules.LinearLR(o, 0.1, total_iters=2), schedules.CosineAnnealingLR(o, 4)
    return schedules.SequentialLR(o, [first, then], [2])


def exponential(o: Any) -> Any:
    return schedules.ExponentialLR(o, 0.7)


SCHEDULERS: dict[str, Case] = {
    "scheduler by step": by(exponential, interval="step"),
    "scheduler by epoch": by(exponential, interval="epoch"),
    "scheduler by every second step": by(exponential, interval="step", frequency=2),
    "scheduler by every second epoch": by(exponential, frequency=2),
    "one scheduler after the other": by(warm_up, interval="step"),
    "one cycle": scheduled(one_cycle),
    "warm restarts": by(lambda o: schedules.CosineAnnealingWarmRestarts(o, 2), interval="step"),
    "lambda": by(lambda o: schedules.LambdaLR(o, lambda at: 1 / (1 + at)), interval="step"),
    "cyclic with momentum": by(lambda o: schedules.CyclicLR(o, 0.01, 0.2, 2, cycle_momentum=True), interval="step"),
    "plateau": by(lambda o: schedules.ReduceLROnPlateau(o, patience=0, threshold=0.9), monitor="loss"),
    "plateau by step": looped(
        by(lambda o: schedules.ReduceLROnPlateau(o, patience=0, threshold=0.9), monitor="loss_step", interval="step"),
        "step by step",
    ),
    "lists": scheduled(lambda self, o: ([o], [exponential(o)])),
    "tuple": scheduled(lambda self, o: (o,)),
    "list of one": scheduled(lambda self, o: [o]),
    "dict of a scheduler": scheduled(lambda self, o: {"optimizer": o, "lr_scheduler": exponential(o)}),
    "dict of an optimiser": scheduled(lambda self, o: {"optimizer": o}),
    "groups whose rates diverge and meet": scheduled(parting),
    "two schedulers": scheduled(
        lambda self, o: ([o], [{"scheduler": exponential(o), "interval": "step"}, schedules.StepLR(o, 1)])
    ),
    "scheduler over nadam": scheduled(
        lambda self, o: (
            [adam := optim.NAdam(self.parameters(), 0.01)],
            [{"scheduler": exponential(adam), "interval": "step"}],
        )
    ),
}
