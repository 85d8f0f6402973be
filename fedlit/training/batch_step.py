"""A batch as an algorithm's functions see it, in a fit or in `Client.collect`: the contract `fedlit.client.Step`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
from torch import Tensor

from fedlit.data import Samples
from fedlit.data.targets import only_tensor
from fedlit.device_copies import to_device_of
from fedlit.errors import InputError
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.torch_compat import pytree
from fedlit.training.step_draws import StepDraws, draw_key
from fedlit.user_module.training_step import FunctionalStep, part_of

_VALUES = (int, float, str, bytes, type(None))


def _is_list_of_values(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(v, _VALUES) for v in value)


class NoLoss(Exception):
    """The user's training_step skips the batch: it returned None."""


class BatchStep(ABC):
    """A `Step` over a batch whose samples lie along `axis`: 0 for one client, 1 for a stack."""

    axis: int
    least_part = 1  # fewest samples of a part of a batch; 2 in a fit with batch normalisation

    def __init__(
        self,
        batch: Any,
        batch_idx: int,
        lr: Tensor | None,
        samples: Samples,
        examples: Tensor,
        numbers: np.ndarray,
    ):
        """
        Args:
            lr: None: no optimiser takes this step.
            samples: of which the batch is made; they know the part of it that holds the targets.
            examples: (K, 1).
            numbers: (K,) places of the step among the batches of each client.
        """
        self.batch, self.batch_idx, self._lr, self._samples = batch, batch_idx, lr, samples
        self.examples, self._numbers = examples, numbers
        self.lr_was_read = False
        self._draws: StepDraws | None = None

    @property
    def lr(self) -> Tensor:
        if self._lr is None:
            raise InputError(
                "step.lr: the function of client.collect reads a learning rate, and no optimiser takes a step there; "
                "leave it out, or read it in a gradient_fn."
            )
        self.lr_was_read = True
        return self._lr

    @property
    def number(self) -> Tensor:
        return to_device_of(self.examples, self._numbers[:, None])

    def draw(self, kind: Literal["normal", "uniform"], what: str, like: Tensor) -> Tensor:
        if self._draws is None:
            self._draws = StepDraws(self._draw_keys, self.number)
        return self._draws(kind, what, like)

    @abstractmethod
    def _draw_keys(self, what: str) -> Tensor:
        """(K,) int64: the keys of the clients' draws for `what` in this fit."""

    @abstractmethod
    def _evaluate(self, quantity: str, weights: Tensor, batch: Any) -> Tensor:
        """The result of `FunctionalStep.evaluate` for clients with weights (K, P)."""

    def loss(self, weights: Tensor, part: tuple[int, int] = (0, 1)) -> Tensor:
        if part[1] > 1:
            self._check_can_be_cut()
        return self._evaluate("loss", weights, part_of(self.batch, part, self.axis, self.least_part))

    def _check_can_be_cut(self) -> None:
        """
        Raises:
            InputError: the batch holds an object, or a list of numbers or strings, perhaps one for each sample.
        """
        for leaf in pytree.tree_leaves(self.batch, is_leaf=_is_list_of_values):
            if not isinstance(leaf, (Tensor, *_VALUES)):
                raise InputError(
                    "this algorithm takes the losses of parts of a batch (step.loss with a part), and a batch of this "
                    f"data set holds a {type(leaf).__name__} that cannot be cut; give batches of tensors in tuples, "
                    "lists or dicts, or write aggregator=fedavg."
                )

    def features(self, weights: Tensor) -> Tensor:
        return self._evaluate("features", weights, self.batch)

    def outputs(self, weights: Tensor) -> Tensor:
        return self._evaluate("outputs", weights, self.batch)

    @property
    def targets(self) -> Tensor:
        targets = only_tensor(self._samples.targets_in(self.batch))
        if targets is None:
            raise InputError(
                "this algorithm reads the targets of a batch (step.targets), and a batch of this data set has none "
                "that are one tensor; name the part that holds them, data.target=<number or key>, or write "
                "aggregator=fedavg."
            )
        return targets if self.axis else targets[None]


class OneClientStep(BatchStep):
    axis = 0

    def __init__(
        self,
        step: FunctionalStep,
        batch: Any,
        batch_idx: int,
        draws: RandomMode,
        lr: Tensor | None,
        context: Callable[[], Any],
        samples: Samples,
        buffers: dict[str, Tensor],
        examples: Tensor,
    ):
        """
        Args:
            draws: those of the step. Their key and step number are those of the fit and the batch.
            buffers: the module's, by name, at which the step is evaluated.
        """
        super().__init__(batch, batch_idx, lr, samples, examples, np.array([int(draws.rng.step)]))
        self.step, self.draws, self.context, self.buffers = step, draws, context, buffers

    def _draw_keys(self, what: str) -> Tensor:
        return to_device_of(self.examples, np.array([draw_key(int(self.draws.rng.key), what)]))

    def _evaluate(self, quantity: str, weights: Tensor, batch: Any) -> Tensor:
        buffers = {n: b.clone() for n, b in self.buffers.items()}
        with self.context(), _muted(self.step.module):
            tensors = self.step.layout.tensors(weights[0]) | buffers
            value = self.step.evaluate(tensors, quantity, batch, self.batch_idx, self.draws)
        if value is None:
            raise NoLoss("training_step returned None")
        return value[None]


@contextmanager
def _muted(module: pl.LightningModule) -> Iterator[None]:
    """Drop the values that the step logs: these evaluations are the algorithm's, not the user's."""
    log_before = vars(module).get("log")
    module.log = lambda *args, **options: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.__dict__["log"]
        if log_before is not None:
            module.log = log_before  # type: ignore[method-assign]
