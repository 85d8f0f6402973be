"""The trigger of a backdoor: a square patch in a corner of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Corner = Literal["top_left", "top_right", "bottom_left", "bottom_right"]


@dataclass(frozen=True)
class Trigger:
    """Pixel (i, j) of the size x size patch belongs to part (i size + j) parts // size^2: the patch is cut into `parts`
    pieces of equal size, row by row (DBA, Xie et al. 2020, figure 1).

    >>> Trigger(2, "top_left", 1.0, parts=2).part_of_pixels(torch.zeros(3, 3))
    tensor([[ 0,  0, -1],
            [ 1,  1, -1],
            [-1, -1, -1]])

    Attributes:
        size: pixels along a side.
        value: of each pixel and channel of the patch.
    """

    size: int
    corner: Corner
    value: float
    parts: int = 1

    def part_of_pixels(self, images: Tensor) -> Tensor:
        """(H, W) the part of each pixel; -1 outside of the patch."""
        height, width = images.shape[-2:]
        numbers = torch.arange(self.size * self.size, device=images.device) * self.parts // self.size**2
        parts = torch.full((height, width), -1, device=images.device)
        top = 0 if self.corner.startswith("top") else height - self.size
        left = 0 if self.corner.endswith("left") else width - self.size
        parts[top : top + self.size, left : left + self.size] = numbers.reshape(self.size, self.size)
        return parts

    def on(self, images: Tensor) -> Tensor:
        """Images (..., C, H, W) with the whole patch."""
        return self._set(images, self.part_of_pixels(images) >= 0)

    def on_some(self, images: Tensor, where: Tensor, part: Tensor) -> Tensor:
        """Some images with a part of the patch each.

        Args:
            images: (..., B, C, H, W).
            where: (..., B) bools, the images that change.
            part: (..., B) the part that they get.
        """
        is_part = self.part_of_pixels(images) == part[..., None, None]
        return self._set(images, (is_part & where[..., None, None]).unsqueeze(-3))

    def _set(self, images: Tensor, pixels: Tensor) -> Tensor:
        return images.masked_fill(pixels, self.value)
