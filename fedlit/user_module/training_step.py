"""The user's own training_step, called in one place for every trainer, every rule and every loss."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fedlit.keyed_random.random_mode import RandomMode
from fedlit.model_vectors import Layout


def call_step(module: LightningModule, batch: Any, batch_idx: int) -> Any:
    """What the class's training_step returns, called with as many arguments as it has (not a fit's wrapping of it)."""
    step = type(module).training_step
    return step(module, batch, batch_idx) if _takes_number(step) else step(module, batch)


@functools.cache
def _takes_number(step: Callable[..., Any]) -> bool:
    takes = [p for p in inspect.signature(step).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    return len(takes) > 2 or any(p.kind is p.VAR_POSITIONAL for p in takes)


def loss_of(output: Any) -> Tensor | None:
    """The loss in what a training_step returned: a tensor, a dict with `loss`, or None for a step that is skipped."""
    return output["loss"] if isinstance(output, dict) else output


class FunctionalStep:
    """The user's step with other tensors in the module's place.

    The tensors go straight into the dicts of the modules that hold them, each holder once, so tied weights and modules
    that are registered under two names come out right (`torch.func.functional_call` leaves the latter swapped).
    """

    def __init__(self, module: LightningModule, layout: Layout):
        self.module, self.layout = module, layout
        first = {name: key for key, names in layout.names.items() for name in names}
        self._places = [
            (tensors, n, first[f"{prefix}.{n}" if prefix else n])
            for prefix, holder in module.named_modules()
            for tensors in (holder._parameters, holder._buffers)
            for n, tensor in tensors.items()
            if tensor is not None
        ]

    def swapped(self, tensors: dict[str, Tensor], what: str, batch: Any, batch_idx: int, draws: RandomMode) -> Any:
        """The step's "loss" at these tensors; the "features" or "outputs" of the linear layer that runs last in it; or
        what "forward" gives, where the batch is its inputs.

        Args:
            tensors: by the layout's names; what is not named is the module's own. A buffer that the step assigns anew
                is replaced in this dict.
        """
        before = [(held, n, held[n]) for held, n, _ in self._places]
        try:
            for held, n, key in self._places:
                if key in tensors:
                    held[n] = tensors[key]
            with draws:
                found = self._run(what, batch, batch_idx)
            for held, n, key in self._places:
                if key in tensors:
                    tensors[key] = held[n]
            return found
        finally:
            for held, n, tensor in before:
                held[n] = tensor

    def _run(self, what: str, batch: Any, batch_idx: int) -> Any:
        if what == "forward":
            return self.module(batch)
        if what == "loss":
            return loss_of(call_step(self.module, batch, batch_idx))
        with watching(self.module, nn.Linear) as seen:
            call_step(self.module, batch, batch_idx)
        _, inputs, output = seen[-1]
        return inputs if what == "features" else output


class watching:
    """While open, a list of (layer, its first input, its output) for each call of a layer of one kind, in order."""

    def __init__(
        self, module: nn.Module, kind: type[nn.Module], fits: Callable[[nn.Module], bool] = lambda layer: True
    ):
        self.layers = [m for m in module.modules() if isinstance(m, kind) and fits(m)]

    def __enter__(self) -> list[tuple[nn.Module, Any, Any]]:
        seen: list[tuple[nn.Module, Any, Any]] = []

        def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            seen.append((layer, inputs[0] if inputs else None, output))

        self.hooks = [layer.register_forward_hook(hook) for layer in self.layers]
        return seen

    def __exit__(self, *exception: Any) -> None:
        for hook in self.hooks:
            hook.remove()


def part_of(batch: Any, part: tuple[int, int], axis: int) -> Any:
    """Every n-th sample of a batch from the i-th on, along `axis`; all of it where it is shorter than n."""
    i, n = part
    if n == 1:
        return batch
    cut = (slice(None),) * axis + (slice(i, None, n),)
    return pytree.tree_map(lambda t: t[cut] if torch.is_tensor(t) and t.shape[axis] >= n else t, batch)


def targets_of(batch: Any) -> Tensor:
    """A batch's last tensor."""
    return [t for t in pytree.tree_leaves(batch) if torch.is_tensor(t)][-1]


def samples_in(batch: Any, axis: int = 0) -> int:
    """Samples in a batch, as Lightning counts them: the length of its first tensor, along `axis`; one of a number."""
    first = next(t for t in pytree.tree_leaves(batch) if torch.is_tensor(t))
    return first.shape[axis] if first.dim() > axis else 1
