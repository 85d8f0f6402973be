"""The user's own training_step, called in one place for every trainer, every gradient_fn and every loss."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from fedlit.errors import InputError
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.model_vectors import Layout
from fedlit.torch_compat import pytree
from fedlit.user_module.validation_step import required_beyond


def call_step(module: LightningModule, batch: Any, batch_idx: int) -> Any:
    """Call the class's training_step (not a fit's replacement of it) with as many arguments as it has."""
    step = type(module).training_step
    return step(module, batch, batch_idx) if _takes_batch_idx(step) else step(module, batch)


@functools.cache
def _takes_batch_idx(step: Callable[..., Any]) -> bool:
    parameters = [p for p in inspect.signature(step).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    return len(parameters) > 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def call_evaluation_step(step: Callable[..., Any], batch: Any, batch_idx: int) -> Any:
    """Call a module's test_step or validation_step, a bound method, with as many arguments as it has."""
    function = getattr(step, "__func__", step)
    if not _takes_batch_idx(function):
        return step(batch)
    return step(batch, batch_idx, **dict.fromkeys(required_beyond(step, 2), 0))


def loss_of(output: Any) -> Tensor | None:
    """The loss in a training_step's return value: a tensor, a dict with `loss`, or None for a batch that is skipped."""
    return output["loss"] if isinstance(output, dict) else output


class FunctionalStep:
    """The user's step as a function of weights and buffers.

    The tensors are written into the dicts of the modules that hold them, each holder once, so tied weights and modules
    that are registered under two names are handled (`torch.func.functional_call` leaves the latter swapped).
    """

    def __init__(self, module: LightningModule, layout: Layout):
        self.module, self.layout = module, layout
        key_of = {name: key for key, names in layout.names.items() for name in names}
        self._places = [
            (tensors, n, key_of[f"{prefix}.{n}" if prefix else n])
            for prefix, holder in module.named_modules()
            for tensors in (holder._parameters, holder._buffers)
            for n, tensor in tensors.items()
            if tensor is not None
        ]

    def evaluate(self, tensors: dict[str, Tensor], quantity: str, batch: Any, batch_idx: int, draws: RandomMode) -> Any:
        """The step's "loss" at these tensors; the "features" (input) or "outputs" of the linear layer that runs last in
        it; or the result of "forward", where the batch is its inputs.

        Args:
            tensors: by the layout's names; the others are the module's own. Where the step assigns a new tensor to a
                buffer, it is replaced in this dict.
        """
        originals = [(holder, n, holder[n]) for holder, n, _ in self._places]
        try:
            for holder, n, key in self._places:
                if key in tensors:
                    holder[n] = tensors[key]
            with draws:
                value = self._run(quantity, batch, batch_idx)
            for holder, n, key in self._places:
                if key in tensors:
                    tensors[key] = holder[n]
            return value
        finally:
            for holder, n, tensor in originals:
                holder[n] = tensor

    def _run(self, quantity: str, batch: Any, batch_idx: int) -> Any:
        if quantity == "forward":
            return self.module(batch)
        if quantity == "loss":
            return loss_of(call_step(self.module, batch, batch_idx))
        with recorded_calls(self.module, nn.Linear) as calls:
            call_step(self.module, batch, batch_idx)
        if not calls:
            raise InputError(
                f"this algorithm reads the {quantity} of the linear layer that runs last in a step (step.{quantity}), "
                f"and no nn.Linear runs in the training_step of {type(self.module).__name__}; end the model in one, or "
                "write aggregator=fedavg."
            )
        _, inputs, output = calls[-1]
        return inputs if quantity == "features" else output


class recorded_calls:
    """While open, a list of (layer, its first input, its output) for each call of a layer of one kind, in order."""

    def __init__(
        self, module: nn.Module, kind: type[nn.Module], condition: Callable[[nn.Module], bool] = lambda layer: True
    ):
        self.layers = [m for m in module.modules() if isinstance(m, kind) and condition(m)]

    def __enter__(self) -> list[tuple[nn.Module, Any, Any]]:
        calls: list[tuple[nn.Module, Any, Any]] = []

        def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            calls.append((layer, inputs[0] if inputs else None, output))

        self.hooks = [layer.register_forward_hook(hook) for layer in self.layers]
        return calls

    def __exit__(self, *exception: Any) -> None:
        for hook in self.hooks:
            hook.remove()


def part_of(batch: Any, part: tuple[int, int], axis: int, least: int = 1) -> Any:
    """Every n-th sample of a batch from the i-th on, along `axis`; the whole batch where one of the n parts would have
    fewer than `least` samples."""
    i, n = part
    if n == 1:
        return batch
    index = (slice(None),) * axis + (slice(i, None, n),)
    return pytree.tree_map(
        lambda t: t[index] if torch.is_tensor(t) and t.dim() > axis and t.shape[axis] >= n * least else t,
        batch,
    )


def samples_in(batch: Any, axis: int = 0) -> int:
    """Samples in a batch, as Lightning counts them: the length of its first tensor along `axis`; 1 for a number."""
    first = next(t for t in pytree.tree_leaves(batch) if torch.is_tensor(t))
    return first.shape[axis] if first.dim() > axis else 1
