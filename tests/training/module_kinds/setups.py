"""Layers that are made after `__init__`: by setup, by configure_model, and lazy ones."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from tests.training.module_kinds.case import CLASSES, Case, Plain, accuracy, loss_of, mlp, optimizer, vectors


def sets_up(of: Any, plan: Any = "stacked", because: str = "", init: Any = None, **more: Any) -> Case:
    """`Plain` with this setup; `init(self)` is the end of `__init__`, `more` are other methods."""

    class SetUp(Plain):
        def __init__(self) -> None:
            super().__init__()
            if init is not None:
                init(self)

    for name, method in {"setup": of, **more}.items():
        setattr(SetUp, name, method)
    return Case(plan, SetUp, vectors, because)


def no_net(self: Any) -> None:
    self.net = None


def guarded(self: Any, stage: str) -> None:
    if self.net is None:
        self.net = mlp()


def unguarded(self: Any, stage: str) -> None:
    self.net = mlp()


def without_a_stage(self: Any) -> None:
    if self.net is None:
        self.net = mlp()


def with_another_name(self: Any, what: str) -> None:
    assert what == "fit"
    guarded(self, what)


def draws_weights(self: Any, stage: str) -> None:
    """Drawn in each fit, they would replace the received ones."""
    nn.init.normal_(self.net[0].weight)


def counts_classes(self: Any, stage: str) -> None:
    self.factor = self.trainer.datamodule.factor


def counts_batches(self: Any, stage: str) -> None:
    self.factor = len(self.trainer.train_dataloader) + self.trainer.estimated_stepping_batches


def counts_batches_of_the_data_module(self: Any, stage: str) -> None:
    self.factor = len(self.trainer.datamodule.train_dataloader())


def reads_the_round(self: Any, stage: str) -> None:
    self.factor = 1 + self.round


def draws(self: Any, stage: str) -> None:
    self.factor = 1 + float(torch.rand(()))


def makes_a_metric(self: Any, stage: str) -> None:
    self.accuracy = accuracy()


def copies_a_teacher(self: Any, stage: str) -> None:
    self.teacher = copy.deepcopy(self.net).requires_grad_(False)


def freezes(self: Any, stage: str) -> None:
    self.net[0].requires_grad_(False)


def scaled(self: Any, batch: Any, batch_idx: int) -> Tensor:
    return loss_of(self, batch) * self.factor


def pulled(self: Any, batch: Any, batch_idx: int) -> Tensor:
    return loss_of(self, batch) + (self(batch[0]) - self.teacher(batch[0])).square().mean()


def teardown(self: Any, stage: str) -> None:
    self.factor = 0


def prepare(self: Any) -> None:
    self.factor = 2


class Users:
    """A user's data module, as far as its attributes go."""

    factor = 3


class UserLazy(nn.modules.lazy.LazyModuleMixin, nn.Module):
    """A lazy layer of the user's: a factor for each column."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.UninitializedParameter()

    def initialize_parameters(self, x: Tensor) -> None:
        if self.has_uninitialized_params():
            with torch.no_grad():
                self.factor.materialize((x.shape[-1],))
                self.factor.normal_()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def lazy(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.LazyLinear(8), *between, nn.Tanh(), nn.LazyLinear(CLASSES))


def lazy_net(self: Any, stage: str = "fit") -> None:
    if self.net is None:
        self.net = lazy()


class LazyInConfigureModel(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.net: Any = None

    configure_model = lazy_net


SETUPS: dict[str, Case] = {
    "setup that makes layers": sets_up(guarded, init=no_net),
    "setup that makes layers in each call": sets_up(unguarded, init=no_net),
    "setup that replaces layers": sets_up(unguarded),
    "setup without a stage": sets_up(without_a_stage, init=no_net),
    "setup whose stage has another name": sets_up(with_another_name, init=no_net),
    "setup that draws weights": sets_up(draws_weights),
    "setup that freezes a layer": sets_up(freezes),
    "setup that reads the data module": sets_up(counts_classes, training_step=scaled),
    "setup that counts batches": sets_up(counts_batches, "one by one", "setup", training_step=scaled),
    "setup that counts batches of the data module": sets_up(
        counts_batches_of_the_data_module, "one by one", "setup", training_step=scaled
    ),
    "setup that reads the round": sets_up(
        reads_the_round, "one by one", "setup sets SetUp.factor", training_step=scaled
    ),
    "setup that draws": sets_up(draws, "one by one", "setup draws", training_step=scaled),
    "setup that makes a metric": sets_up(makes_a_metric, "one by one", "setup sets"),
    "setup that copies a teacher": sets_up(copies_a_teacher, "one by one", "setup sets", training_step=pulled),
    "teardown": sets_up(counts_classes, "one by one", "teardown", training_step=scaled, teardown=teardown),
    "prepare_data": sets_up(lambda self, stage: None, training_step=scaled, prepare_data=prepare),
    "lazy layers": Case("stacked", lambda: Plain(lazy()), vectors),
    "lazy layers with dropout": Case("stacked", lambda: Plain(lazy(nn.Dropout(0.3))), vectors),
    "lazy batch norm": Case("stacked", lambda: Plain(lazy(nn.LazyBatchNorm1d())), vectors),
    "lazy layers under adam": optimizer(lambda ps: torch.optim.Adam(ps, 0.01), lazy),
    "a lazy layer of the user's": Case("stacked", lambda: Plain(nn.Sequential(UserLazy(), mlp())), vectors),
    "lazy layers in setup": sets_up(lazy_net, init=no_net),
    "lazy layers in configure_model": Case("stacked", LazyInConfigureModel, vectors),
}
