"""Functions of torch.nn.functional that draw inside, or ask `if tensor:`; their bodies, for a mode that is to see it.

A `TorchFunctionMode` sees the outermost function alone; it then calls that function with itself taken off. A function
written in Python begins with a guard that asks whether a mode is on; without the guard its body can run under the mode.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from torch.nn import functional

F: Any = functional  # mypy does not know its private names
_GUARDS = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")


def _body(function: Any) -> Callable[..., Any]:
    """`function` without its guard; the functions it calls keep theirs."""
    unguarded = dict.fromkeys(_GUARDS, lambda *tensors: False)
    body = types.FunctionType(
        function.__code__,
        {**function.__globals__, **unguarded},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    body.__kwdefaults__ = function.__kwdefaults__
    return body


BODIES: dict[Any, Callable[..., Any]] = {
    F.multi_head_attention_forward: _body(F.multi_head_attention_forward),
    F.gumbel_softmax: _body(F.gumbel_softmax),
    F.gaussian_nll_loss: _body(F.gaussian_nll_loss),
    F.fractional_max_pool2d: _body(F._fractional_max_pool2d),
    F.fractional_max_pool2d_with_indices: _body(F.fractional_max_pool2d_with_indices),
    F.fractional_max_pool3d: _body(F._fractional_max_pool3d),
    F.fractional_max_pool3d_with_indices: _body(F.fractional_max_pool3d_with_indices),
}
