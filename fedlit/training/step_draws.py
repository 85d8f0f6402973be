"""The random draws of an algorithm in one step of K clients (`fedlit.client.Step.draw`).

They are made on the device by a counter-based generator, because a generator of NumPy for each client and step costs
more than the step of a small client, and its numbers would have to be copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from fedlit.device_copies import to_device
from fedlit.errors import InputError
from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.randomness import seed_number


def draw_key(fit_key: int, what: str) -> int:
    """The key of one client's draws for `what`.

    Args:
        fit_key: keys the draws of the client's fit.
    """
    return seed_number(fit_key, "draw of the algorithm", what)


def check_kind(method: str, kind: str) -> None:
    """
    Raises:
        InputError: there are no draws of this kind.
    """
    if kind not in ("normal", "uniform"):
        raise InputError(f"{method}: there are no draws named {kind!r}; write 'normal' or 'uniform'.")


class DrawKeys:
    """The keys of K clients' draws in one fit.

    Args:
        fit_keys: returns K numbers, which key the draws of the clients' fits; called at the first draw.
    """

    def __init__(self, fit_keys: Callable[[], Sequence[int]], device: torch.device):
        self._fit_keys, self._device = fit_keys, device
        self._numbers: Sequence[int] | None = None
        self._keys: dict[str, Tensor] = {}

    def __call__(self, what: str) -> Tensor:
        """(K,) int64."""
        if self._numbers is None:
            self._numbers = self._fit_keys()
        if what not in self._keys:
            self._keys[what] = to_device([draw_key(number, what) for number in self._numbers], self._device)
        return self._keys[what]


class StepDraws:
    """
    Args:
        keys: `keys(what)` returns the clients' keys, (K,) int64.
        numbers: (K, 1) int64, the number of the step in each client's fit.
    """

    def __init__(self, keys: Callable[[str], Tensor], numbers: Tensor):
        self._keys, self._numbers = keys, numbers
        self._counts: dict[str, int] = {}  # by `what`: words drawn so far

    @torch.no_grad()
    def __call__(self, kind: Literal["normal", "uniform"], what: str, like: Tensor) -> Tensor:
        """See `Step.draw`."""
        check_kind("step.draw", kind)
        k = len(self._numbers)
        if not like.is_floating_point() or like.dim() == 0 or len(like) != k:
            raise InputError(
                f"step.draw({kind!r}, {what!r}, ...): `like` has the shape {tuple(like.shape)} and the type "
                f"{like.dtype}; give a floating tensor (K, ...) of the {k} client{'s' * (k > 1)} of the step."
            )
        axes = (k, *(1 for _ in like.shape[1:]))
        rng = CounterRng(self._keys(what).view(axes), self._numbers.view(axes))
        rng.count = self._counts.get(what, 0)
        draw = rng.normal if kind == "normal" else rng.uniform
        value = draw(like.shape[1:], like.dtype, like.device)
        self._counts[what] = rng.count
        return value
