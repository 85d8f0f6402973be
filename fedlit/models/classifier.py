"""The base of the ready models: a classifier without an optimiser."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor

from fedlit.errors import InputError

IGNORED = -100  # `ignore_index` of torch's losses


class Classifier(LightningModule):
    """A classifier trained by cross entropy. The run gives it the optimiser of the `optimizer` group.

    Args:
        input_shape: shape of one sample; None: the inputs are not tensors.
        classes: number of classes; None: the targets are not classes.

    Raises:
        InputError: `input_shape` or `classes` is None.
    """

    takes_tokens: ClassVar[bool] = False  # True: the inputs are whole numbers, for an embedding

    def __init__(self, input_shape: Sequence[int] | None, classes: int | None):
        super().__init__()
        if input_shape is None or classes is None:
            problem = "targets are not classes" if classes is None else "inputs are not tensors"
            raise InputError(
                f"the ready models are classifiers of tensors, but this data set's {problem}; write your own model, "
                "model._target_=mine.Net."
            )

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """From inputs (N, *input_shape) to logits (N, classes)."""

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """-log softmax(logits)[target] of each sample (N,), from logits (N, classes) and targets (N,) or (N, 1)."""
        if targets.dim() > 1:
            targets = targets.squeeze(1)
        if targets.dtype != torch.int64:
            targets = targets.long()
        return F.cross_entropy(logits, targets, reduction="none")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss of a batch (inputs, targets)."""
        x, y = batch
        return self.losses(self(x), y).mean()


def image_shape(model: str, input_shape: Sequence[int], least: int) -> tuple[int, int, int]:
    """`input_shape` as (channels, height, width).

    Raises:
        InputError: it is not the shape of an image, or height or width is below `least` pixels.
    """
    if len(input_shape) == 3 and min(input_shape[1:]) >= least:
        channels, height, width = input_shape
        return channels, height, width
    raise InputError(
        f"model={model} needs images (channels, height, width) of at least {least} x {least} pixels, but an input "
        f"of this data set has shape {tuple(input_shape)}; write model=mlp or model=logistic."
    )
