"""A function over n rows as a flat list of torch's operations that holds for any n.

`make_fx` writes down what a function does at one n, with n among the sizes. Two traces at different n show which
numbers come from n, and a third at another n has to agree. What is left runs without the Python that led to it: no
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

_SIZES = (11, 13, 17)  # primes that no layer is likely to have as a size; a coincidence at two shows at the third
aten = torch.ops.aten


class Untraceable(Exception):
    """What a function does is not the same for every n."""


@dataclass(frozen=True)
class _TimesN:
    """A number that is this multiple of n."""

    times: int


def traced_rows(function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor]) -> fx.GraphModule:
    """
    Args:
        function: of contiguous tensors (n, ...), to tensors. What it does on Python's side happens in the traces alone.
        inputs: such as it gets, with any n; the traces are of copies of their first rows.

    Returns:
        The same function, of n and the tensors, without gradients: its `forward`.

    Raises:
        Untraceable: the operations depend on n otherwise than by sizes that are multiples of it.
    """
    first, *more = (_trace(function, inputs, n) for n in _SIZES)
    told = [_told(trace) for trace in (first, *more)]
    free = _merged(told[0], told[1], _SIZES[:2])
    if _merged(told[0], told[2], _SIZES[::2]) != free:
        raise Untraceable("its numbers follow no rule")
    _put_in(first.graph, free)
    first.recompile()
    return first


def _trace(function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], n: int) -> fx.GraphModule:
    rows = (t[:1].expand(n, *t.shape[1:]).clone(memory_format=torch.contiguous_format) for t in inputs)
    return make_fx(function)(*rows)


def _told(trace: fx.GraphModule) -> list[Any]:
    """A trace as plain lists, in which nodes are names."""
    return [
        [
            node.op,
            node.name,
            getattr(trace, str(node.target)) if node.op == "get_attr" else str(node.target),
            fx.node.map_arg([list(node.args), dict(node.kwargs)], str),
        ]
        for node in trace.graph.nodes
    ]


def _merged(p: Any, q: Any, sizes: Sequence[int]) -> Any:
    """What is the same at both sizes, with what grows with n as a `_TimesN`."""
    if isinstance(p, list | tuple) and isinstance(q, list | tuple):
        if len(p) != len(q):
            raise Untraceable("it does more for more clients")
        return [_merged(a, b, sizes) for a, b in zip(p, q, strict=True)]
    if isinstance(p, dict) and isinstance(q, dict) and p.keys() == q.keys():
        return {k: _merged(v, q[k], sizes) for k, v in p.items()}
    if torch.equal(p, q) if torch.is_tensor(p) and torch.is_tensor(q) else p == q or (p != p and q != q):
        return p
    if type(p) is int and p % sizes[0] == 0 and p // sizes[0] * sizes[1] == q:
        return _TimesN(p // sizes[0])
    raise Untraceable(f"at {sizes[0]} clients it has {p}, at {sizes[1]} {q}"[:200])


def _put_in(graph: fx.Graph, free: list[Any]) -> None:
    """Write n into a trace, as its first argument, and leave out what does nothing."""
    nodes = list(graph.nodes)
    with graph.inserting_before(nodes[0]):
        n = graph.placeholder("n")
    counts: dict[int, Any] = {1: n}
    firsts = next(node for node in nodes if node.op != "placeholder")

    def put(told: Any, real: Any) -> Any:
        if isinstance(told, _TimesN):
            if told.times not in counts:
                with graph.inserting_before(firsts):
                    counts[told.times] = graph.call_function(operator.mul, (n, told.times))
            return counts[told.times]
        if isinstance(real, list | tuple):
            return [put(a, b) for a, b in zip(told, real, strict=True)]
        return real

    for node, (_, _, _, (args, kwargs)) in zip(nodes, free, strict=True):
        node.args = tuple(put(args, node.args))
        node.kwargs = {k: put(kwargs[k], v) for k, v in node.kwargs.items()}
    pure = not any(isinstance(n.target, OpOverload) and n.target._schema.is_mutable for n in nodes)
    for node in nodes:
        if _does_nothing(node, pure):
            node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()


def _does_nothing(node: fx.Node, pure: bool) -> bool:
    """Whether its input can stand in its place; in a pure trace, which writes nowhere, that may be another tensor."""
    if node.target in (aten.alias.default, aten.detach.default):  # without autograd
        return True
    if node.target in (aten.view.default, aten.expand.default, aten._unsafe_view.default):
        before = node.args[0].meta["tensor_meta"]  # type: ignore[union-attr]
        return tuple(before.shape) == tuple(node.meta["tensor_meta"].shape)
    return pure and node.target is aten.mul.Scalar and bool(node.args[1] == 1)
