"""Train-time augmentation of images: random crop with padding, and horizontal flip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fedlit.data.transform import Batch, on_inputs
from fedlit.errors import InputError
from fedlit.randomness import keyed_bits, seed_number

_ROW, _COLUMN, _FLIP = (seed_number("augment", purpose) for purpose in ("row", "column", "flip"))


class Augment:
    """Crops and flips training images (..., C, H, W); every sample has its own draws.

    A crop shifts the image by up to `crop` pixels in each direction and fills the border with 0, the mean of normalised
    images. A flip mirrors left to right with probability 1/2. He et al. 2016 (arXiv:1512.03385, section 4.2) train
    CIFAR-10 with `crop=4, flip=True`.
    """

    def __init__(self, crop: int = 0, flip: bool = False):
        self.crop, self.flip = crop, flip

    def __call__(self, batch: Batch, index: Tensor, client: Tensor, split: str, key: Tensor) -> Batch:
        if split != "train":
            return batch
        return on_inputs(batch, lambda images: self.images(images, index, key))

    def images(self, images: Tensor, index: Tensor, key: Tensor) -> Tensor:
        """Images (..., B, C, H, W), shifted and mirrored by draws keyed by `key` (..., 1) and `index` (..., B)."""
        height, width = images.shape[-2:]
        flat_images = images.reshape(-1, *images.shape[-3:])
        rows = torch.arange(height, device=images.device).expand(len(flat_images), height)
        columns = torch.arange(width, device=images.device).expand(len(flat_images), width)
        if self.flip:
            mirrored = keyed_bits(key + _FLIP, index).flatten() >= 2**31
            columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
        if self.crop:
            flat_images = F.pad(flat_images, [self.crop] * 4)
            rows = rows + self._shift(key + _ROW, index)
            columns = columns + self._shift(key + _COLUMN, index)
        sample = torch.arange(len(flat_images), device=images.device)[:, None, None]
        # Channels go last while indexing: a slice between index arrays would move its axis to the end.
        cropped = flat_images.movedim(1, -1)[sample, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
        return cropped.contiguous().view(images.shape)

    def _shift(self, key: Tensor, index: Tensor) -> Tensor:
        return (keyed_bits(key, index) % (2 * self.crop + 1)).flatten()[:, None]


def augmentation(option: Mapping[str, Any] | None, input_shape: tuple[int, ...]) -> Augment | None:
    """The augmentation of the option `augment` (`crop`, `flip`); None if both are off.

    Raises:
        InputError: the samples are not images (C, H, W).
    """
    augment = Augment(**(option or {}))
    if not (augment.crop or augment.flip):
        return None
    if len(input_shape) != 3:
        raise InputError(
            f"augment needs images (channels, height, width), but a sample of this data set has shape {input_shape}; "
            "write data.augment.crop=0 data.augment.flip=false."
        )
    return augment
