"""Patches of backdoors, by plain slicing: Gu et al. 2017, and their parts by Xie et al. 2020 (DBA)."""

from __future__ import annotations

import numpy as np


def with_patch(
    image: np.ndarray, size: int, corner: str, value: float, parts: int = 1, part: int | None = None
) -> np.ndarray:
    """An image (C, H, W) with the patch, or with one of its parts: runs of pixels, row by row."""
    image, (height, width) = image.copy(), image.shape[1:]
    rows = range(size) if corner.startswith("top") else range(height - size, height)
    columns = range(size) if corner.endswith("left") else range(width - size, width)
    pixels = [(row, column) for row in rows for column in columns]
    for number, (row, column) in enumerate(pixels):
        if part is None or number * parts // len(pixels) == part:
            image[:, row, column] = value
    return image
