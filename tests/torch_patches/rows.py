"""A module on several rows: one by one, and stacked by vmap."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedlit.keyed_random.random_mode import RandomMode
from fedlit.torch_patches.vmap_patches import VMAP

KEYS, STEPS = torch.tensor([5, 2**62 + 9, 77]), torch.tensor([0, 1, 4])
ROWS = len(KEYS)


class Result(NamedTuple):
    outputs: Tensor
    gradients: dict[str, Tensor]  # of the inputs where they are floats, and of the weights
    after: dict[str, Tensor]  # weights and buffers, where the module wrote into them


def _tensors(module: nn.Module, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and buffers of each row, (ROWS, ...): weights differ from row to row."""
    rng = torch.Generator().manual_seed(seed)
    weights = {
        n: torch.stack([p.detach() * (1 + torch.rand(p.shape, generator=rng)) for _ in range(ROWS)])
        for n, p in module.named_parameters()
    }
    return weights, {n: torch.stack([b.clone()] * ROWS) for n, b in module.named_buffers()}


def _gradients(outputs: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    leaves = {n: t for n, t in tensors.items() if t.requires_grad}
    gradients = torch.autograd.grad(outputs.double().tanh().sum(), list(leaves.values()), allow_unused=True)
    return {n: torch.zeros_like(t) if g is None else g for (n, t), g in zip(leaves.items(), gradients, strict=True)}


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.is_floating_point())


def one_by_one(module: nn.Module, inputs: Tensor, keyed: bool = True) -> Result:
    """`inputs` (ROWS, ...). Without `keyed` torch's own functions run, without a mode of fedlit."""
    weights, buffers = _tensors(module)
    results = []
    for row in range(ROWS):
        leaves = {n: _leaf(t[row]) for n, t in weights.items()}
        row_buffers, x = {n: b[row].clone() for n, b in buffers.items()}, _leaf(inputs[row])
        if keyed:
            with RandomMode(int(KEYS[row]), int(STEPS[row]), keyed=True, seed=False):
                out = functional_call(module, leaves | row_buffers, (x,))
        else:
            out = functional_call(module, leaves | row_buffers, (x,))
        results.append(Result(out.detach(), _gradients(out, leaves | {"x": x}), leaves | row_buffers))
    first = results[0]
    return Result(
        torch.stack([r.outputs for r in results]),
        {n: torch.stack([r.gradients[n] for r in results]) for n in first.gradients},
        {n: torch.stack([r.after[n] for r in results]).detach() for n in first.after},
    )


def stacked(module: nn.Module, inputs: Tensor, keyed: bool = True) -> Result:
    weights, buffers = _tensors(module)
    leaves, buffers, x = {n: _leaf(t) for n, t in weights.items()}, {n: b.clone() for n, b in buffers.items()}, inputs
    x = _leaf(inputs)

    def one_row(key, step, x, leaves, buffers):
        with RandomMode(key, step, keyed=keyed, seed=False, patches=(VMAP,)):
            return functional_call(module, leaves | buffers, (x,))

    out = vmap(one_row)(KEYS, STEPS, x, leaves, buffers)
    gradients = _gradients(out, leaves | {"x": x})
    return Result(out.detach(), gradients, {n: t.detach() for n, t in (leaves | buffers).items()})


def assert_same(result: Result, expected: Result, atol: float = 1e-12) -> None:
    torch.testing.assert_close(result.outputs, expected.outputs, rtol=0, atol=atol)
    for result_tensors, expected_tensors in ((result.gradients, expected.gradients), (result.after, expected.after)):
        assert result_tensors.keys() == expected_tensors.keys()
        for name, tensor in expected_tensors.items():
            torch.testing.assert_close(
                result_tensors[name], tensor, rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
            )
