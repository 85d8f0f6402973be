"""Notes each step of an optimiser when its gradients and learning rates are final.

Lightning has no hook there: the user's own on_before_optimizer_step and gradient clipping run after those of callbacks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any


def record_steps(
    optimizer: Any, begin: Callable[[], None], end: Callable[[], None], repeat: Callable[[], None]
) -> None:
    """Replace `optimizer.step` on this object, so that `begin` and `end` are called once in each step: after the first
    call of its closure, or before a step without a closure; and at its end. `repeat` is called before each further call
    of the closure, such as those of LBFGS."""
    original = optimizer.step

    @functools.wraps(original)
    def step(_: Any, *args: Any, **kwargs: Any) -> Any:
        closure = args[0] if args else kwargs.get("closure")
        began = False

        def recorded_closure() -> Any:
            nonlocal began
            if began:
                repeat()
            value = closure()  # type: ignore[misc]
            if not began:
                began = True
                begin()
            return value

        if closure is None:
            begin()
        elif args:
            args = (recorded_closure, *args[1:])
        else:
            kwargs["closure"] = recorded_closure
        value = original(*args, **kwargs)
        end()
        return value

    optimizer.step = MethodType(step, optimizer)
