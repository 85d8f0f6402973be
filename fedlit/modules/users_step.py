"""The user's own training_step, called in one place for every trainer, every rule and every loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from fedlit.model_vectors import Layout
from fedlit.modules.keyed_draws import KeyedDraws


def call_step(module: LightningModule, batch: Any, batch_idx: int) -> Any:
    """What the class's training_step returns, called with as many arguments as it has (not a fit's wrapping of it)."""
    step = type(module).training_step
    takes = [p for p in inspect.signature(step).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    if len(takes) > 2 or any(p.kind is p.VAR_POSITIONAL for p in takes):
        return step(module, batch, batch_idx)
    return step(module, batch)


def loss_of(output: Any) -> Tensor | None:
    """The loss in what a training_step returned: a tensor, a dict with `loss`, or None for a step that is skipped."""
    return output["loss"] if isinstance(output, dict) else output


class StepAt(nn.Module):
    """The user's step with other weights and buffers in the module's place, by `torch.func.functional_call`.

    Tied weights are swapped under the name of each module that holds them: torch's own tying leaves a module that is
    registered under two names with the swapped tensors in it.
    """

    def __init__(self, module: LightningModule, layout: Layout):
        super().__init__()
        self.module, self.layout = module, layout
        # one name a holder: swapped under two, a holder would be given the swapped tensor back as its own
        self._places = {
            f"{m}.{n}" if m else n for m, h in module.named_modules() for n in [*h._parameters, *h._buffers]
        }

    def swapped(self, tensors: dict[str, Tensor], what: str, batch: Any, batch_idx: int, draws: KeyedDraws) -> Tensor:
        """`what` is "loss", or "features" or "outputs" of the linear layer that runs last."""
        everywhere = {
            f"module.{name}": t for n, t in tensors.items() for name in self.layout.names[n] if name in self._places
        }
        return functional_call(self, everywhere, (what, batch, batch_idx, draws), tie_weights=False)

    def forward(self, what: str, batch: Any, batch_idx: int, draws: KeyedDraws) -> Tensor:
        module: LightningModule = self.module
        if what == "loss":
            with draws:
                return loss_of(call_step(module, batch, batch_idx))  # type: ignore[return-value]
        with draws, watching(module, nn.Linear) as seen:
            call_step(module, batch, batch_idx)
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


def samples_in(batch: Any) -> int:
    """Samples in a batch: the length of its first tensor."""
    return len(next(t for t in pytree.tree_leaves(batch) if torch.is_tensor(t)))
