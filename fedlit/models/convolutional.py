"""Small convolutional networks of federated learning."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from fedlit.errors import InputError
from fedlit.models.classifier import Classifier, image_shape


class Cnn(Classifier):
    """The CNN of McMahan et al. 2017 (arXiv:1602.05629): 1,663,370 parameters on MNIST.

    Two 5 x 5 convolutions to 32 and 64 channels with padding, each with 2 x 2 max pooling, then a dense layer of 512
    units with ReLU. ReLU also follows the convolutions; the paper does not mention it.
    """

    def __init__(self, input_shape: Sequence[int], classes: int):
        super().__init__(input_shape, classes)
        channels, height, width = image_shape("cnn", input_shape, 4)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * (height // 4) * (width // 4), 512),
            nn.ReLU(),
        )
        self.head = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class CnnBn(Classifier):
    """Two 5 x 5 convolutions with padding, each followed by batch normalisation, ReLU and 2 x 2 max pooling, then a
    dense layer with ReLU: the blocks of FedBN's network for digits (Li et al. 2021, arXiv:2102.07623), fewer and
    narrower.

    Args:
        input_shape: (channels, height, width).
        classes: number of classes.
        channels: of the two convolutions.
        hidden: units of the dense layer.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, channels: Sequence[int] = (32, 64), hidden: int = 512):
        super().__init__(input_shape, classes)
        if len(channels) != 2:
            raise InputError(f"model.channels={list(channels)} needs 2 numbers; write 'model.channels=[32,64]'.")
        given, height, width = image_shape("cnn_bn", input_shape, 4)
        first, second = channels
        self.features = nn.Sequential(
            nn.Conv2d(given, first, 5, padding=2),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 5, padding=2),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(second * (height // 4) * (width // 4), hidden),
            nn.ReLU(),
        )
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class LectureCnn(Classifier):
    """The lecture's CNN: 3 x 3 convolutions to 16 and 128 channels, global average pooling, a dense layer of 64 units.

    2 x 2 max pooling stands between the convolutions.
    """

    def __init__(self, input_shape: Sequence[int], classes: int):
        super().__init__(input_shape, classes)
        channels, _, _ = image_shape("lecture_cnn", input_shape, 2)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 128, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((-2, -1)))
