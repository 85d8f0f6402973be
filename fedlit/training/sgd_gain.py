"""What the steps of SGD apply of a constant gradient of 1: the numbers behind `Fitted.gain`.

For step t with learning rate gamma_t, momentum mu_t and dampening tau_t, as torch.optim.SGD has them:

b_1 = 1, b_t = mu_t b_(t-1) + (1 - tau_t)
gain = sum_t gamma_t b_t, with Nesterov's momentum sum_t gamma_t (1 + mu_t b_t)

Without momentum it is the sum of the learning rates. Under `maximize` it is negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import SGD

from fedlit.errors import InputError
from fedlit.model_vectors import as_real

_WHAT = "this algorithm divides by what the optimiser's steps apply of a constant gradient (Fitted.gain), which"
_OTHER = "write aggregator=fedavg"
_KEPT = (
    f"{_WHAT} is not defined where clients keep the optimiser's state, a momentum, between rounds; write "
    "trainer.keep_optimizer_state=false."
)


class GroupGain:
    """The gain of one parameter group, step by step.

    >>> options = {"lr": 0.1, "momentum": 0.9, "dampening": 0, "nesterov": False, "maximize": False}
    >>> gain = GroupGain()
    >>> for _ in range(7):
    ...     gain.add_step(options)
    >>> round(gain.total, 6)
    2.304672

    Attributes:
        buffer: b; None before the first step with momentum.
        total: the gain so far.
        is_rate_sum: it is the sum of the learning rates, because no step had momentum or went uphill.
    """

    def __init__(self) -> None:
        self.buffer: float | None = None
        self.total, self.is_rate_sum = 0.0, True

    def add_step(self, options: Mapping[str, Any]) -> None:
        """
        Args:
            options: of the parameter group.
        """
        rate, momentum, applied = float(options["lr"]), options["momentum"], 1.0
        if momentum:
            self.is_rate_sum = False
            self.buffer = 1.0 if self.buffer is None else momentum * self.buffer + 1 - options["dampening"]
            applied = 1 + momentum * self.buffer if options["nesterov"] else self.buffer
        if options["maximize"]:
            self.is_rate_sum, rate = False, -rate
        self.total += rate * applied

    def copy(self) -> GroupGain:
        other = GroupGain()
        other.__dict__.update(self.__dict__)
        return other


def why_undefined(optimizers: Sequence[Any], keeps_state: bool) -> str:
    """A sentence for the user where a fit has no gain; empty where it has one.

    Args:
        optimizers: all optimisers of the fit, before its first step.
        keeps_state: a client keeps the optimiser's state between rounds.
    """
    if len(optimizers) != 1:
        return f"{_WHAT} is not defined for {len(optimizers)} optimisers; give the module one, or {_OTHER}."
    (optimizer,) = optimizers
    if not _steps_as_sgd(optimizer):
        name = type(optimizer).__name__
        return f"{_WHAT} is defined for torch.optim.SGD and not for {name}; train with SGD, or {_OTHER}."
    if keeps_state:
        return _KEPT
    if any(state.get("momentum_buffer") is not None for state in optimizer.state.values()):
        return f"{_WHAT} needs an empty momentum at the start of a fit; make the optimiser in configure_optimizers."
    return ""


def _steps_as_sgd(optimizer: Any) -> bool:
    """Whether its step is that of torch.optim.SGD. A subclass or an instance may have a step of its own."""
    patched = vars(optimizer).get("step")
    if not isinstance(optimizer, SGD) or (patched is not None and not hasattr(patched, "_wrapped_by_lr_sched")):
        return False
    return _unhooked(type(optimizer).step) is _unhooked(SGD.step)


def _unhooked(step: Any) -> Any:
    """torch wraps the step of a class when the first optimiser of the class is made."""
    return step.__wrapped__ if getattr(step, "hooked", False) else step


class FitGain:
    """The gain of each parameter in the fit of one client.

    A step leaves a parameter without a gradient, and its momentum, as they are: such steps are not in its gain.

    Args:
        optimizers, keeps_state: as in `why_undefined`.
    """

    def __init__(self, optimizers: Sequence[Any], keeps_state: bool):
        self._reason = why_undefined(optimizers, keeps_state)
        self._stepped: Sequence[Sequence[int]] = ()
        self._changes = 0  # how often other parameters were stepped than before
        self._gain_of: dict[int, GroupGain] = {}  # by id of a parameter; parameters with the same steps share it
        self._running: list[tuple[int, GroupGain]] = []  # (parameter group, gain) of the parameters of the last step

    def add_step(self, groups: Sequence[Mapping[str, Any]], stepped: Sequence[Sequence[int]]) -> None:
        """Call it before the step, when the gradients are known.

        Args:
            groups: the optimiser's parameter groups.
            stepped: for each group the ids of its parameters that have a gradient.
        """
        if self._reason:
            return
        if stepped != self._stepped:
            self._stepped, self._running = stepped, []
            self._changes += 1
            for number, keys in enumerate(stepped):
                self._split(number, keys)
        for number, gain in self._running:
            gain.add_step(groups[number])

    def _split(self, number: int, keys: Sequence[int]) -> None:
        """Parameters of a group that had the same gain share a copy of it from this step on."""
        copies: dict[GroupGain | None, GroupGain] = {}
        for key in keys:
            before = self._gain_of.get(key)
            if before not in copies:
                copies[before] = GroupGain() if before is None else before.copy()
                self._running.append((number, copies[before]))
            self._gain_of[key] = copies[before]

    def of(self, parameters: Mapping[str, Tensor], rate_sum: Tensor) -> Tensor:
        """`Fitted.gain`, (1, 1) or (1, P).

        Args:
            rate_sum: (1, 1) or (1, P), the sum of the steps' learning rates.

        Raises:
            InputError: it is not defined.
        """
        if self._reason:
            raise InputError(self._reason)
        gains = [self._gain_of.get(id(p)) for p in parameters.values()]
        known = [gain for gain in gains if gain is not None]
        if self._changes < 2 and all(gain.is_rate_sum for gain in known):
            return gain_from_rates(rate_sum)
        totals = np.array([[0.0 if gain is None else gain.total for gain in gains]])
        return gain_by_parameter(totals, [as_real(p).numel() for p in parameters.values()], rate_sum)


def gain_from_rates(rate_sum: Tensor) -> Tensor:
    """The gain without momentum, (K, 1) or (K, P), from the sum of the learning rates."""
    return rate_sum if rate_sum.shape[1] == 1 else _without_zeros(rate_sum)


def gain_by_parameter(totals: np.ndarray, sizes: Sequence[int], like: Tensor) -> Tensor:
    """The gain of K clients, (K, 1) where all parameters have the same, else (K, P).

    Args:
        totals: (K, N) the gain of each of N parameters; 0 where the optimiser never steps it.
        sizes: N numbers of positions.
        like: gives type and device.
    """
    gains = _without_zeros(torch.from_numpy(totals))
    equal = bool((gains == gains[:, :1]).all())
    gains = gains[:, :1].contiguous() if equal else gains.repeat_interleave(torch.tensor(sizes), 1)
    return gains.to(like.device, non_blocking=True).to(like.dtype)


def _without_zeros(gains: Tensor) -> Tensor:
    """Each row with its first number that is not 0 in place of its zeros: a position that is never stepped has the
    gain of another, because its change, 0, is divided by it."""
    first = (gains != 0).int().argmax(1, keepdim=True)
    return torch.where(gains == 0, gains.gather(1, first), gains)
