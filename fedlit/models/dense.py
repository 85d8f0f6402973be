"""Models of dense layers, for inputs of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch.nn.functional as F
from torch import Tensor, nn

from fedlit.errors import InputError
from fedlit.models.classifier import Classifier


class Logistic(Classifier):
    """Multinomial logistic regression: one linear layer on the flattened input."""

    def __init__(self, input_shape: Sequence[int], classes: int):
        super().__init__(input_shape, classes)
        self.linear = nn.Linear(prod(input_shape), classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


class BinaryLogistic(Classifier):
    """Logistic regression of two classes with one output z: the loss is the binary cross entropy of sigmoid(z).

    The logits are (0, z), because softmax((0, z)) is (1 - sigmoid(z), sigmoid(z)). `Logistic` has an output for each
    class instead, and a step of it moves their difference twice as far.

    Raises:
        InputError: there are not two classes.
    """

    def __init__(self, input_shape: Sequence[int], classes: int):
        super().__init__(input_shape, classes)
        if classes != 2:
            raise InputError(f"model=binary_logistic needs 2 classes, but there are {classes}; write model=logistic.")
        self.linear = nn.Linear(prod(input_shape), 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(self.linear(x.flatten(1)), (1, 0))


class Mlp(Classifier):
    """Hidden layers with ReLU on the flattened input, then a linear layer.

    Args:
        input_shape: shape of one sample.
        classes: number of classes.
        hidden: widths of the hidden layers.
        dropout: probability with which training zeroes an output of a hidden layer.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, hidden: Sequence[int] = (200,), dropout: float = 0.0):
        super().__init__(input_shape, classes)
        widths = [prod(input_shape), *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TwoNN(Mlp):
    """The "2NN" of McMahan et al. 2017 (arXiv:1602.05629): two hidden layers of 200, 199,210 parameters on MNIST."""

    def __init__(self, input_shape: Sequence[int], classes: int):
        super().__init__(input_shape, classes, hidden=(200, 200))
