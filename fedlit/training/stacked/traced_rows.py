"""A function over n rows as a flat list of torch operations that is valid for any n.

`make_fx` records the operations of a function at one n, with n among the sizes. Two traces at different n show which
numbers depend on n, and a third at another n has to agree. The generalised trace runs without the function's Python: no
modules, no vmap, no autograd.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from fedlit.torch_compat import OpOverload

_SIZES = (11, 13, 17)  # primes that are unlikely sizes of a layer; a coincidence at two of them shows at the third
aten = torch.ops.aten


class Untraceable(Exception):
    """The operations of a function are not the same for every n."""


@dataclass(frozen=True)
class _MultipleOfN:
    """The number `factor` * n."""

    factor: int


def traced_rows(function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor]) -> fx.GraphModule:
    """
    Args:
        function: takes contiguous tensors (n, ...) and returns tensors. Its side effects in Python happen while tracing
            only.
        inputs: example inputs, with any n; the function is traced on copies of their first rows.

    Returns:
        A module whose `forward(n, *tensors)` is the function, without gradients.

    Raises:
        Untraceable: the operations depend on n in another way than by sizes that are multiples of it.
    """
    traces = [_trace(function, inputs, n) for n in _SIZES]
    first, second, third = (_as_lists(trace) for trace in traces)
    general = _generalized(first, second, _SIZES[:2])
    if _generalized(first, third, _SIZES[::2]) != general:
        raise Untraceable("its sizes are no multiples of the number of clients")
    trace = traces[0]
    _insert_n(trace.graph, general)
    trace.recompile()
    return trace


def _trace(function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], n: int) -> fx.GraphModule:
    rows = (t[:1].expand(n, *t.shape[1:]).clone(memory_format=torch.contiguous_format) for t in inputs)
    return make_fx(function)(*rows)


def _as_lists(trace: fx.GraphModule) -> list[Any]:
    """The nodes of a trace as lists [op, name, target, arguments], in which nodes are names."""
    return [
        [
            node.op,
            node.name,
            getattr(trace, str(node.target)) if node.op == "get_attr" else str(node.target),
            fx.node.map_arg([list(node.args), dict(node.kwargs)], str),
        ]
        for node in trace.graph.nodes
    ]


def _generalized(p: Any, q: Any, sizes: Sequence[int]) -> Any:
    """`p`, recorded at n = sizes[0], with a `_MultipleOfN` for each number that differs in `q`, at sizes[1]."""
    if isinstance(p, list | tuple) and isinstance(q, list | tuple):
        if len(p) != len(q):
            raise Untraceable("it has more operations for more clients")
        return [_generalized(a, b, sizes) for a, b in zip(p, q, strict=True)]
    if isinstance(p, dict) and isinstance(q, dict) and p.keys() == q.keys():
        return {k: _generalized(v, q[k], sizes) for k, v in p.items()}
    if torch.equal(p, q) if torch.is_tensor(p) and torch.is_tensor(q) else p == q or (p != p and q != q):
        return p
    if type(p) is int and p % sizes[0] == 0 and p // sizes[0] * sizes[1] == q:
        return _MultipleOfN(p // sizes[0])
    raise Untraceable(f"at {sizes[0]} clients it has {p}, at {sizes[1]} {q}"[:200])


def _insert_n(graph: fx.Graph, general: list[Any]) -> None:
    """Make n the first argument of a trace, compute the multiples of n from it, and remove operations without effect.

    Args:
        general: the trace's nodes as lists, with `_MultipleOfN` in their arguments.
    """
    nodes = list(graph.nodes)
    with graph.inserting_before(nodes[0]):
        n = graph.placeholder("n")
    multiples: dict[int, Any] = {1: n}  # by factor
    first_operation = next(node for node in nodes if node.op != "placeholder")

    def with_n(general: Any, recorded: Any) -> Any:
        if isinstance(general, _MultipleOfN):
            if general.factor not in multiples:
                with graph.inserting_before(first_operation):
                    multiples[general.factor] = graph.call_function(operator.mul, (n, general.factor))
            return multiples[general.factor]
        if isinstance(recorded, list | tuple):
            return [with_n(a, b) for a, b in zip(general, recorded, strict=True)]
        return recorded

    for node, (_, _, _, (args, kwargs)) in zip(nodes, general, strict=True):
        node.args = tuple(with_n(args, node.args))
        node.kwargs = {k: with_n(kwargs[k], v) for k, v in node.kwargs.items()}
    pure = not any(isinstance(n.target, OpOverload) and n.target._schema.is_mutable for n in nodes)
    for node in nodes:
        if _has_no_effect(node, pure):
            node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()


def _has_no_effect(node: fx.Node, pure: bool) -> bool:
    """Whether an operation can be replaced by its input.

    Args:
        pure: the trace writes into no tensor, so that a copy can be replaced by the original.
    """
    if node.target in (aten.alias.default, aten.detach.default):  # a trace has no autograd
        return True
    if node.target in (aten.view.default, aten.expand.default, aten._unsafe_view.default):
        input_meta = node.args[0].meta["tensor_meta"]  # type: ignore[union-attr]
        return tuple(input_meta.shape) == tuple(node.meta["tensor_meta"].shape)
    return pure and node.target is aten.mul.Scalar and bool(node.args[1] == 1)
