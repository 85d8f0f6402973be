"""What the ready models share: a classifier's loss, and an optimiser from outside."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor

from fedlit.errors import InputError


class Classifier(LightningModule):
    """Trained by cross entropy. It names no optimiser: the run gives it the one of the `optimizer` group.

    Args:
        input_shape: of one sample; None where the inputs are no tensor.
        classes: how many; None where the targets are no classes.

    Raises:
        InputError: one of them is None.
    """

    def __init__(self, input_shape: Sequence[int] | None, classes: int | None):
        super().__init__()
        if input_shape is None or classes is None:
            lacks = "targets are no classes" if classes is None else "inputs are no tensors"
            raise InputError(
                f"the ready models are classifiers of tensors and this data set's {lacks}; write a model of your own, "
                "model._target_=mine.Net."
            )

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Inputs (N, *input_shape) to logits (N, classes)."""

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The cross entropy of each sample (N,), from logits (N, classes) and classes (N,)."""
        return F.cross_entropy(logits, targets, reduction="none")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss of a batch (inputs, targets)."""
        x, y = batch
        return self.losses(self(x), y).mean()


def image_shape(model: str, input_shape: Sequence[int], least: int) -> tuple[int, int, int]:
    """`input_shape` as (channels, height, width).

    Raises:
        InputError: it is no image, or an image of less than `least` pixels in height or width.
    """
    if len(input_shape) == 3 and min(input_shape[1:]) >= least:
        channels, height, width = input_shape
        return channels, height, width
    raise InputError(
        f"model={model} needs images (channels, height, width) of at least {least} x {least} pixels and an input of "
        f"this data set has the shape {tuple(input_shape)}; write model=mlp or model=logistic."
    )
