"""Functions of torch.nn.functional whose bodies draw random numbers or test `if tensor:`, made visible to a mode.

A `TorchFunctionMode` sees the outermost function only: torch calls that function with the mode switched off. A function
that is written in Python begins with a guard that tests whether a mode is on. Without the guard its body runs under the
mode.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from fedlit.torch_compat import F

_GUARDS = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")


def _without_guard(function: Any) -> Callable[..., Any]:
    """`function` without its guard; the functions that it calls keep theirs."""
    no_guards = dict.fromkeys(_GUARDS, lambda *tensors: False)
    unguarded = types.FunctionType(
        function.__code__,
        {**function.__globals__, **no_guards},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    unguarded.__kwdefaults__ = function.__kwdefaults__
    return unguarded


UNGUARDED: dict[Any, Callable[..., Any]] = {
    F.multi_head_attention_forward: _without_guard(F.multi_head_attention_forward),
    F.gumbel_softmax: _without_guard(F.gumbel_softmax),
    F.gaussian_nll_loss: _without_guard(F.gaussian_nll_loss),
    F.fractional_max_pool2d: _without_guard(F._fractional_max_pool2d),
    F.fractional_max_pool2d_with_indices: _without_guard(F.fractional_max_pool2d_with_indices),
    F.fractional_max_pool3d: _without_guard(F._fractional_max_pool3d),
    F.fractional_max_pool3d_with_indices: _without_guard(F.fractional_max_pool3d_with_indices),
}
