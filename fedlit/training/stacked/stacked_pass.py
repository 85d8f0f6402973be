"""Forward and backward of one batch for some rows of a stack: through the user's step, or through a trace of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fedlit.errors import one_line
from fedlit.training.stacked.stacked_call import StackedCall
from fedlit.training.stacked.step_log import StepLog
from fedlit.training.stacked.traced_rows import traced_rows
from fedlit.training.stacked.worker import StackWorker


@dataclass
class PassInputs:
    """Of n rows."""

    weights: Tensor  # (n, P)
    buffers: dict[str, Tensor]  # (n, *shape) by name, each contiguous
    batch: Any  # every tensor (n, B, ...)
    batch_idx: int
    draws: tuple[Tensor, ...]  # (n,) keys and (n,) steps behind; none where the step draws nothing


@dataclass
class Passed:
    loss: Tensor  # (n,)
    gradients: list[Tensor | None]  # (n, *shape) by weight; None where the loss does not depend on it
    buffers: dict[str, Tensor]  # after the step, which may have written into those it got
    logged: dict[str, Tensor]  # (n,) a name


class StackedPass:
    def __init__(self, worker: StackWorker, step_log: StepLog):
        self.worker, self.step_log = worker, step_log
        self.call = StackedCall(worker.module, worker.layout, worker.traits.uses_keyed_rng, worker.plan.patch_vmap)

    def __call__(self, start: PassInputs) -> Passed:
        leaves = {n: p.detach().requires_grad_() for n, p in self.worker.layout.pieces(start.weights).items()}
        with torch.enable_grad(), self.worker.trainer.precision_plugin.forward_context():
            loss, new, logged = self.call(
                "loss", leaves, start.buffers, start.batch, start.batch_idx, *start.draws, log=self.step_log
            )
        loss = loss.flatten()
        gradients = torch.autograd.grad(loss.sum(), list(leaves.values()), allow_unused=True)
        return Passed(loss.detach(), list(gradients), new, logged)


class TracedPass(StackedPass):
    """The step runs in Python once for each shape of a batch, and as a list of torch's operations from then on.

    A trace takes what is no tensor for the same in every step. Where the step would find the number of the batch, the
    epoch or the round it therefore finds what cannot be used, and a step that uses it is not traced.

    Args:
        mode: of torch.compile, which then gets the list; "trace": the list runs as it is.
    """

    def __init__(self, worker: StackWorker, step_log: StepLog, mode: str = "trace"):
        super().__init__(worker, step_log)
        self.mode = mode

    def __call__(self, start: PassInputs) -> Passed:
        leaves, spec = pytree.tree_flatten(start.batch)
        known = self.worker.traces
        kind = spec, self.worker.module.trainer.max_epochs, *((t.shape[1:], t.dtype) for t in leaves)
        inputs = [start.weights, *start.buffers.values(), *leaves, *start.draws]
        if kind not in known:
            known[kind] = self._traced(list(start.buffers), spec, inputs)
        trace = known[kind]
        return super().__call__(start) if trace is None else trace(self.step_log, inputs)

    def _traced(self, buffers: list[str], spec: pytree.TreeSpec, inputs: list[Tensor]) -> _Trace | None:
        """
        Args:
            inputs: weights, buffers, the leaves of the batch and the draws.
        """
        found = _Trace()

        def function(weights: Tensor, *others: Tensor) -> list[Tensor]:
            rest = iter(others)
            named = {n: next(rest) for n in buffers}
            batch = pytree.tree_unflatten([next(rest) for _ in range(spec.num_leaves)], spec)
            self.step_log.now.clear()
            passed = super(TracedPass, self).__call__(PassInputs(weights, named, batch, _UNTOLD, tuple(rest)))
            return found.flat(passed, self.step_log)

        module, trainer = self.worker.module, self.worker.module.trainer
        before = {n: vars(trainer)[n] for n in ("current_epoch", "batch_idx")}
        round = vars(module).get("round")
        try:
            vars(trainer).update(dict.fromkeys(before, _UNTOLD))
            if self.worker.gives_round:
                module.round = _UNTOLD
            found.run = traced_rows(function, inputs).forward
        except Exception as error:
            self.worker.say_once(
                "trace", "trainer.compile: the step is not traced, and runs as without: %s", one_line(error)
            )
            return None
        finally:
            vars(trainer).update(before)
            if self.worker.gives_round:
                module.round = round  # type: ignore[assignment]
            self.step_log.now.clear()
        self._compile(found, inputs)
        return found

    def _compile(self, trace: _Trace, inputs: list[Tensor]) -> None:
        if self.mode == "trace":
            return
        compiled = torch.compile(trace.run, dynamic=True, mode=self.mode)
        try:
            with torch.no_grad():
                compiled(len(inputs[0]), *(t.clone() for t in inputs))
            trace.run = compiled
        except Exception as error:  # no compiler here, or one that cannot compile this
            self.worker.say_once(
                "compile", "trainer.compile=%s: the step runs as a trace only: %s", self.mode, one_line(error)
            )


class _Trace:
    """What goes into a trace and comes out of it, in names."""

    run: Callable[..., list[Tensor]]

    def flat(self, passed: Passed, step_log: StepLog) -> list[Tensor]:
        self.moved = [g is not None for g in passed.gradients]
        self.buffers, self.logged = list(passed.buffers), list(passed.logged)
        self.now = {name: (None, *entry[1:]) for name, entry in step_log.now.items()}
        gradients = [g for g in passed.gradients if g is not None]
        return [passed.loss, *gradients, *passed.buffers.values(), *passed.logged.values()]

    def __call__(self, step_log: StepLog, inputs: list[Tensor]) -> Passed:
        with torch.no_grad():
            loss, *found = self.run(len(inputs[0]), *inputs)
        rest = iter(found)
        gradients = [next(rest) if moves else None for moves in self.moved]
        step_log.now.update(self.now)
        return Passed(
            loss, gradients, dict(zip(self.buffers, rest, strict=False)), dict(zip(self.logged, rest, strict=True))
        )


class _Untold:
    """In the place of a number that a trace would take for the same in every step."""

    def _used(self, *others: Any) -> Any:
        raise TypeError("the step uses the number of the batch, the epoch or the round")

    __bool__ = __eq__ = __ne__ = __hash__ = __str__ = __format__ = __int__ = __float__ = __index__ = _used


_UNTOLD: Any = _Untold()
