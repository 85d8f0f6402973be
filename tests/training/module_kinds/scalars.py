"""Parameters and buffers without dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.training.module_kinds.case import Case, Plain, layer, looped, mlp, vectors


class Scaled(nn.Module):
    """A net times a trained temperature and a buffer. `follow` is called with the module and its output."""

    def __init__(self, follow: Callable[[Any, Tensor], None] = lambda self, out: None, *between: nn.Module):
        super().__init__()
        self.net, self.follow = mlp(*between), follow
        self.temperature = nn.Parameter(torch.tensor(1.5))
        self.register_buffer("scale", torch.tensor(0.7))
        self.register_buffer("running", torch.tensor(0.25))
        self.register_buffer("whole", torch.tensor(2))

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x) * self.temperature.exp() * self.scale + self.running
        if self.training:
            self.follow(self, out)
        return out


class Alone(nn.Module):
    """One trained number and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :3] * self.only


class Thawed(Plain):
    """`configure_optimizers` unfreezes the temperature."""

    def __init__(self) -> None:
        super().__init__(Scaled())
        self.net.temperature.requires_grad_(False)

    def configure_optimizers(self) -> Any:
        self.net.temperature.requires_grad_(True)
        return super().configure_optimizers()


def in_place(self: Scaled, out: Tensor) -> None:
    self.running.mul_(0.9).add_(0.1 * out.detach().mean())
    self.whole.add_(1)


def reassigned(self: Scaled, out: Tensor) -> None:
    self.running = 0.9 * self.running + 0.1 * out.detach().mean()
    self.whole = self.whole + 1


def optimized(make: Callable[[list[nn.Parameter]], Any]) -> Case:
    class Optimized(Plain):
        def __init__(self) -> None:
            super().__init__(Scaled(in_place))

        def configure_optimizers(self) -> Any:
            rest = [p for n, p in self.named_parameters() if "temperature" not in n]
            return make([self.net.temperature, *rest])

    return Case("stacked", Optimized, vectors)


def grouped(kind: Any, **options: Any) -> Callable[[list[nn.Parameter]], Any]:
    """The temperature in a group of its own."""
    return lambda p: kind([{"params": p[:1], "lr": 0.01}, {"params": p[1:]}], lr=0.1, **options)


SCALARS: dict[str, Case] = {
    "scalars": layer(Scaled),
    "a running scalar": layer(lambda: Scaled(in_place)),
    "a running scalar that is reassigned": layer(lambda: Scaled(reassigned)),
    "scalars and batch norm": layer(lambda: Scaled(in_place, nn.BatchNorm1d(8))),
    "a scalar and nothing else": layer(Alone),
    "prelu of one number": layer(lambda: nn.Sequential(mlp(), nn.PReLU())),
    "a scalar, adam with decay": optimized(grouped(torch.optim.Adam, weight_decay=0.1)),
    "a scalar, adamw": optimized(lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.3, amsgrad=True)),
    "a scalar, nesterov with decay": optimized(grouped(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.1)),
    "a scalar, rmsprop": optimized(grouped(torch.optim.RMSprop, momentum=0.5)),
    "a scalar, clipped by norm": Case(
        "stacked", lambda: Plain(Scaled(in_place)), vectors, options={"gradient_clip_val": 0.1}
    ),
    "a scalar, clipped by value": Case(
        "stacked",
        lambda: Plain(Scaled(in_place)),
        vectors,
        options={"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
    ),
    "a scalar, adafactor": looped(optimized(lambda p: torch.optim.Adafactor(p, lr=0.1))),
    "a thawed scalar": looped(Case("stacked", Thawed, vectors), "temperature"),
    "a scalar read as a number": looped(
        layer(lambda: Scaled(lambda self, out: self.running.fill_(0.5 * float(self.running)))), "item"
    ),
}
