"""The CNN of NIID-Bench (Li et al. 2022, arXiv:2102.02079): two 5 x 5 convolutions to 6 and 16 channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from fedlit.models.classifier import Classifier, image_shape


class NiidBenchCnn(Classifier):
    """Each convolution, without padding, is followed by ReLU and 2 x 2 max pooling; then dense layers of 120 and 84
    units with ReLU, and the output."""

    def __init__(self, input_shape: Sequence[int], classes: int):
        super().__init__(input_shape, classes)
        channels, height, width = image_shape("NiidBenchCnn", input_shape, 16)
        rows, columns = (((size - 4) // 2 - 4) // 2 for size in (height, width))
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Flatten(),
            *(nn.Linear(16 * rows * columns, 120), nn.ReLU()),
            *(nn.Linear(120, 84), nn.ReLU()),
            nn.Linear(84, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
