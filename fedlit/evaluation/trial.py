"""A trial of a module's steps on a few samples: how it can be measured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F

from fedlit.global_generators import generator_states
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.torch_compat import pytree
from fedlit.user_module.training_step import call_evaluation_step, call_step, loss_of

_TOLERANCE = 1e-3  # relative, between two ways of computing one loss


@dataclass(frozen=True)
class Trial:
    """
    Attributes:
        by_sample: `losses(forward(x), y)` gives the loss of each sample, and the step's loss is their mean. A sample's
            loss does not depend on the batch, and there are no draws and no side effects.
        needs_gradients: without gradients a step raises or has another result.
        are_logits: the step's binary cross entropy takes the outputs as logits (True) or probabilities (False); None:
            it has none.
    """

    by_sample: bool
    needs_gradients: bool
    are_logits: bool | None


def trial_of(
    module: LightningModule,
    step_name: str | None,
    batch: Any,
    targets: Any,
    reset: Callable[[], None],
    changed: Callable[[], Any],
) -> Trial:
    """
    Args:
        module: in the state of a measurement.
        step_name: of the module's own step for evaluation.
        batch: of a few samples.
        targets: of the batch.
        reset: undoes what a step changes.
        changed: returns the names of what the steps have changed.
    """
    watch = _Watch()
    by_sample = False
    if step_name is None and callable(getattr(module, "losses", None)):
        with suppress(Exception):
            by_sample = _is_by_sample(module, batch, targets, watch, changed)
        reset()
    if by_sample:
        return Trial(True, False, watch.are_logits)
    without = _results(module, step_name, batch, watch, gradients=False)
    reset()
    with_gradients = _results(module, step_name, batch, watch, gradients=True)
    reset()
    needs = [b is not None and (a is None or not _equal(a, b)) for a, b in zip(without, with_gradients, strict=True)]
    return Trial(False, any(needs), watch.are_logits)


class _Watch(RandomMode):
    """Keyed draws, and the kind of binary cross entropy that runs."""

    def __init__(self) -> None:
        super().__init__(0, 0, keyed=True, seed=False)
        self.are_logits: bool | None = None

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.binary_cross_entropy_with_logits:
            self.are_logits = True
        elif function is F.binary_cross_entropy:
            self.are_logits = False
        return super().__torch_function__(function, types, args, kwargs)


def _is_by_sample(module: LightningModule, batch: Any, targets: Any, watch: _Watch, changed: Callable[[], Any]) -> bool:
    inputs = batch[0]
    before = generator_states(), changed(), _tensor_marks(module)
    with torch.no_grad(), watch:
        step_loss = loss_of(call_step(module, batch, 0))
        losses = module.losses(module(inputs), targets)  # type: ignore[operator]
        singles = [module.losses(module(inputs[i : i + 1]), targets[i : i + 1]) for i in range(len(inputs))]  # type: ignore[operator]
    return (
        step_loss is not None
        and len(inputs) > 1
        and losses.shape == (len(inputs),)
        and _equal([losses.mean()], [step_loss])
        and _equal([losses], [torch.cat(singles)])
        and not watch.count
        and before == (generator_states(), changed(), _tensor_marks(module))
    )


def _tensor_marks(module: LightningModule) -> list[tuple[int, int]]:
    """Identity and version of all tensors: torch counts the changes in place."""
    return [(id(t), t._version) for t in (*module.parameters(), *module.buffers())]


def _results(
    module: LightningModule, step_name: str | None, batch: Any, watch: _Watch, gradients: bool
) -> list[list[Tensor] | None]:
    """What the training step and the evaluation step return and log; None for one that raises."""
    results: list[list[Tensor] | None] = []
    for name in ("training_step", step_name):
        logged: list[Any] = []
        module.log = lambda name, value, *args, logged=logged, **options: logged.append(value)  # type: ignore[method-assign]
        result = None
        with suppress(Exception), torch.set_grad_enabled(gradients), watch:
            if name == "training_step" and module.automatic_optimization:
                result = [call_step(module, batch, 0), logged]
            elif name is not None and name != "training_step":
                result = [call_evaluation_step(getattr(module, name), batch, 0), logged]
        leaves = pytree.tree_leaves(result)
        results.append(None if result is None else [torch.as_tensor(v) for v in leaves if _is_number(v)])
    return results


def _is_number(value: Any) -> bool:
    return torch.is_tensor(value) or isinstance(value, int | float)


def _equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(
        a.shape == b.shape
        and torch.allclose(
            a.detach().double(), b.detach().double().to(a.device), rtol=_TOLERANCE, atol=1e-6, equal_nan=True
        )
        for a, b in zip(first, second, strict=True)
    )
