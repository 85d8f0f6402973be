"""Forward and backward of a batch of some rows of a stack: through the user's step, or through a trace of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedlit.errors import one_line
from fedlit.torch_compat import pytree
from fedlit.training.stacked.setup import StackSetup
from fedlit.training.stacked.stacked_call import StackedCall
from fedlit.training.stacked.step_log import StepLog
from fedlit.training.stacked.traced_rows import traced_rows


@dataclass
class PassInputs:
    """The inputs of n rows."""

    weights: Tensor  # (n, P)
    buffers: dict[str, Tensor]  # (n, *shape) by name, each contiguous
    batch: Any  # every tensor (n, B, ...)
    batch_idx: int
    draws: tuple[Tensor, ...]  # (n,) keys and (n,) step numbers; empty where the step makes no draws


@dataclass
class PassResult:
    loss: Tensor  # (n,)
    gradients: list[Tensor | None]  # (n, *shape) by weight; None where the loss does not depend on it
    buffers: dict[str, Tensor]  # after the step, which may have written into the input's
    logged: dict[str, Tensor]  # name -> (n,)


class StackedPass:
    def __init__(self, setup: StackSetup, step_log: StepLog):
        self.setup, self.host, self.step_log = setup, setup.host, step_log
        keyed = self.host.traits.uses_keyed_rng
        self.call = StackedCall(self.host.module, self.host.layout, keyed, setup.plan.patch_vmap)

    def __call__(self, inputs: PassInputs) -> PassResult:
        leaves = {n: p.detach().requires_grad_() for n, p in self.host.layout.pieces(inputs.weights).items()}
        with torch.enable_grad(), self.host.trainer.precision_plugin.forward_context():
            loss, buffers, logged = self.call(
                "loss", leaves, inputs.buffers, inputs.batch, inputs.batch_idx, *inputs.draws, log=self.step_log
            )
        loss = loss.flatten()
        gradients = torch.autograd.grad(loss.sum(), list(leaves.values()), allow_unused=True)
        return PassResult(loss.detach(), list(gradients), buffers, logged)


class TracedPass(StackedPass):
    """The step runs in Python once for each shape of a batch; later steps run its trace, a list of torch operations.

    A trace treats every value that is no tensor as a constant. The numbers of the batch, the epoch and the round differ
    from step to step, so they are replaced by an object that raises when it is used: a step that uses them is not
    traced.

    Args:
        mode: "trace": the trace runs as it is; else a mode of torch.compile, which compiles the trace.
    """

    def __init__(self, setup: StackSetup, step_log: StepLog, mode: str = "trace"):
        super().__init__(setup, step_log)
        self.mode = mode

    def __call__(self, inputs: PassInputs) -> PassResult:
        leaves, spec = pytree.tree_flatten(inputs.batch)
        traces = self.setup.traces
        shape = spec, vars(self.host.module.trainer)["epochs"], *((t.shape[1:], t.dtype) for t in leaves)
        tensors = [inputs.weights, *inputs.buffers.values(), *leaves, *inputs.draws]
        if shape not in traces:
            traces[shape] = self._traced(list(inputs.buffers), spec, tensors)
        trace = traces[shape]
        return super().__call__(inputs) if trace is None else trace(self.step_log, tensors)

    def _traced(self, buffer_names: list[str], spec: pytree.TreeSpec, tensors: list[Tensor]) -> _Trace | None:
        """
        Args:
            tensors: weights, buffers, the leaves of the batch and the draws.
        """
        trace = _Trace()

        def function(weights: Tensor, *others: Tensor) -> list[Tensor]:
            rest = iter(others)
            buffers = {n: next(rest) for n in buffer_names}
            batch = pytree.tree_unflatten([next(rest) for _ in range(spec.num_leaves)], spec)
            self.step_log.current.clear()
            result = super(TracedPass, self).__call__(PassInputs(weights, buffers, batch, _UNKNOWN, tuple(rest)))
            return trace.flattened(result, self.step_log)

        module, trainer = self.host.module, self.host.module.trainer
        numbers = {n: vars(trainer)[n] for n in ("current_epoch", "batch_idx")}
        round_number = vars(module).get("round")
        try:
            vars(trainer).update(dict.fromkeys(numbers, _UNKNOWN))
            if self.host.sets_round:
                module.round = _UNKNOWN
            trace.run = traced_rows(function, tensors).forward
        except Exception as error:
            self.setup.notices.once(
                "trace", "trainer.compile: the step cannot be traced and runs untraced: %s", one_line(error)
            )
            return None
        finally:
            vars(trainer).update(numbers)
            if self.host.sets_round:
                module.round = round_number  # type: ignore[assignment]
            self.step_log.current.clear()
        self._compile(trace, tensors)
        return trace

    def _compile(self, trace: _Trace, tensors: list[Tensor]) -> None:
        if self.mode == "trace":
            return
        compiled = torch.compile(trace.run, dynamic=True, mode=self.mode)
        try:
            with torch.no_grad():
                compiled(len(tensors[0]), *(t.clone() for t in tensors))
            trace.run = compiled
        except Exception as error:  # no compiler is installed, or it cannot compile this trace
            self.setup.notices.once(
                "compile", "trainer.compile=%s: the step runs as a trace only: %s", self.mode, one_line(error)
            )


class _Trace:
    """A traced step, with the names of its inputs and outputs."""

    run: Callable[..., list[Tensor]]

    def flattened(self, result: PassResult, step_log: StepLog) -> list[Tensor]:
        """The result as a list of tensors; their names are noted."""
        self.has_gradient = [g is not None for g in result.gradients]
        self.buffer_names, self.logged_names = list(result.buffers), list(result.logged)
        self.log_options = {name: (None, *entry[1:]) for name, entry in step_log.current.items()}
        gradients = [g for g in result.gradients if g is not None]
        return [result.loss, *gradients, *result.buffers.values(), *result.logged.values()]

    def __call__(self, step_log: StepLog, tensors: list[Tensor]) -> PassResult:
        with torch.no_grad():
            loss, *outputs = self.run(len(tensors[0]), *tensors)
        rest = iter(outputs)
        gradients = [next(rest) if has_gradient else None for has_gradient in self.has_gradient]
        step_log.current.update(self.log_options)
        buffers = dict(zip(self.buffer_names, rest, strict=False))
        return PassResult(loss, gradients, buffers, dict(zip(self.logged_names, rest, strict=True)))


class _Unknown:
    """Replaces a number that a trace would treat as a constant."""

    def _used(self, *others: Any) -> Any:
        raise TypeError("the step uses the number of the batch, the epoch or the round")

    __bool__ = __eq__ = __ne__ = __hash__ = __str__ = __format__ = __int__ = __float__ = __index__ = _used


_UNKNOWN: Any = _Unknown()
