"""The batch of one optimiser step, as an algorithm's `gradient_fn` sees it (the contract is `fedlit.client.Step`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from fedlit.data import Samples
from fedlit.data.targets import only_tensor
from fedlit.errors import InputError
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.torch_compat import pytree
from fedlit.user_module.training_step import FunctionalStep, part_of

_VALUES = (int, float, str, bytes, type(None))


def _is_list_of_values(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(v, _VALUES) for v in value)


class BatchStep(ABC):
    """A `Step` over a batch whose samples lie along `axis`: 0 for one client, 1 for a stack."""

    axis: int

    def __init__(self, batch: Any, batch_idx: int, lr: Tensor, samples: Samples):
        """
        Args:
            samples: of which the batch is made; they know the part of it that holds the targets.
        """
        self.batch, self.batch_idx, self._lr, self._samples = batch, batch_idx, lr, samples
        self.lr_was_read = False

    @property
    def lr(self) -> Tensor:
        self.lr_was_read = True
        return self._lr

    @abstractmethod
    def _evaluate(self, quantity: str, weights: Tensor, batch: Any) -> Tensor:
        """The result of `FunctionalStep.evaluate` for clients with weights (K, P)."""

    def loss(self, weights: Tensor, part: tuple[int, int] = (0, 1)) -> Tensor:
        if part[1] > 1:
            self._check_can_be_cut()
        return self._evaluate("loss", weights, part_of(self.batch, part, self.axis))

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
        lr: Tensor,
        context: Callable[[], Any],
        samples: Samples,
        buffers: dict[str, Tensor],
    ):
        """
        Args:
            buffers: the module's, by name, at which the step is evaluated.
        """
        super().__init__(batch, batch_idx, lr, samples)
        self.step, self.draws, self.context, self.buffers = step, draws, context, buffers

    def _evaluate(self, quantity: str, weights: Tensor, batch: Any) -> Tensor:
        buffers = {n: b.clone() for n, b in self.buffers.items()}
        with self.context(), _muted(self.step.module):
            tensors = self.step.layout.tensors(weights[0]) | buffers
            return self.step.evaluate(tensors, quantity, batch, self.batch_idx, self.draws)[None]


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
