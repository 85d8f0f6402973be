"""ResNet-18 for small images (He et al. 2016, arXiv:1512.03385)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from fedlit.models.classifier import Classifier, image_shape

_GROUPS = 32  # the default of Wu and He 2018


class ResNet18(Classifier):
    """torchvision's ResNet-18 with a stem for small images: a 3 x 3 convolution without stride, no max pooling.

    Args:
        input_shape: (channels, height, width).
        classes: number of classes.
        norm: `group`: GroupNorm with 32 groups (Wu and He 2018, arXiv:1803.08494), which keeps no statistics of a
            client's batches and so helps under label skew (Hsieh et al. 2020, arXiv:1910.00189); `batch`: BatchNorm.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, norm: Literal["group", "batch"] = "group"):
        super().__init__(input_shape, classes)
        from torchvision.models import resnet18  # slow to import, so not at the top

        channels, _, _ = image_shape("resnet18", input_shape, 4)
        self.net = resnet18(num_classes=classes, norm_layer=_group_norm if norm == "group" else nn.BatchNorm2d)
        self.net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(
            self.net.conv1.weight, mode="fan_out", nonlinearity="relu"
        )  # as torchvision initialises its convolutions
        self.net.maxpool = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(_GROUPS, channels)
