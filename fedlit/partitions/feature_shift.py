"""A client's own look of its inputs: rotation, colours, noise. Keyed, so that it is part of the data."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlit.data.transform import Batch, on_inputs
from fedlit.errors import InputError
from fedlit.randomness import keyed_bits, keyed_uniform

_ROTATION, _COLOUR, _NOISE = range(3)  # keep a client's streams apart
_NOBODY = -1  # the client of a sample that nobody holds: nothing is shifted


@dataclass(frozen=True)
class FeatureShift:
    """A `fedlit.data` transform: shifts the inputs of a batch by what was drawn for their client.

    A function of seed, client and sample number alone: the same in every epoch and stage, whatever the batch, whether
    one client's (B,) or a stack of clients' (K, B). Client -1 is nobody, whose inputs stay as they are.
    """

    seed: int
    rotation: float  # largest angle, degrees
    noise: float  # largest standard deviation
    colour: float  # largest change of a channel's factor, and of its offset

    def __call__(self, batch: Batch, index: Tensor, client: Tensor, stage: str, key: Tensor) -> Batch:
        """The batch with its first tensor shifted.

        Args:
            batch: its inputs are floating: images (..., B, C, H, W), or for noise alone (..., B, *sample).
            index: (..., B) int64 sample numbers.
            client: (..., 1) int64, or one a sample.
            stage: not used: the shift is the same in training and test.
            key: not used: the shift is the same in every epoch.
        """
        return on_inputs(batch, lambda inputs: self._shifted(inputs, index, client.expand(index.shape)))

    def _shifted(self, given: Tensor, index: Tensor, client: Tensor) -> Tensor:
        if not given.is_floating_point():
            raise InputError(
                f"partition=feature shifts floating inputs and those of this data set are {given.dtype}; write "
                "partition=iid, or give floating inputs."
            )
        inputs = given
        own = _mixed(torch.full_like(client, self.seed), client)
        if self.rotation:
            _check_images(inputs, index, "rotation")
            angle = (2 * keyed_uniform(own, torch.full_like(own, _ROTATION), inputs.dtype) - 1) * self.rotation
            inputs = rotate(inputs.flatten(0, index.dim() - 1), angle.flatten()).reshape(inputs.shape)
        if self.colour:
            _check_images(inputs, index, "colour")
            channels = inputs.shape[-3]
            draws = _uniforms(_mixed(own, torch.full_like(own, _COLOUR)), 2 * channels, inputs.dtype)
            factor, offset = (self.colour * (2 * draws - 1)).reshape(*index.shape, 2, channels, 1, 1).unbind(-4)
            inputs = inputs * (1 + factor) + offset
        if self.noise:
            strength = keyed_uniform(own, torch.full_like(own, _NOISE), inputs.dtype) * self.noise
            sample = _mixed(_mixed(own, torch.full_like(own, _NOISE)), index)
            places = inputs[(0,) * index.dim()].numel()
            noise = _normals(sample, places, inputs.dtype) * strength[..., None]
            inputs = inputs + noise.reshape(inputs.shape)
        nobody = (client == _NOBODY).reshape(*index.shape, *(1,) * (given.dim() - index.dim()))
        return torch.where(nobody, given, inputs)


def rotate(images: Tensor, angle: Tensor) -> Tensor:
    """Images (M, C, H, W) turned counter-clockwise about their middle, each by its own angle (M,) in degrees.

    Bilinear; what comes into view from outside repeats the edge, whatever value the background has.
    """
    height, width = images.shape[-2:]
    cos, sin = torch.cos(angle * (pi / 180)), torch.sin(angle * (pi / 180))
    zero = torch.zeros_like(cos)
    # affine_grid counts both axes from -1 to 1: a turn of an image that is not square has to undo that
    rows = [cos, -sin * height / width, zero, sin * width / height, cos, zero]
    grid = F.affine_grid(torch.stack(rows, -1).reshape(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _mixed(key: Tensor, number: Tensor) -> Tensor:
    """A new 63-bit key for each pair of a key and a number."""
    return (keyed_bits(key, 2 * number) << 31) ^ keyed_bits(key, 2 * number + 1)


def _uniforms(key: Tensor, many: int, dtype: torch.dtype) -> Tensor:
    """Uniform numbers in [0, 1) (..., many) for each key (...)."""
    return keyed_uniform(key[..., None], torch.arange(many, device=key.device), dtype)


def _normals(key: Tensor, many: int, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers (..., many) for each key (...), by Box and Muller 1958."""
    pairs = (many + 1) // 2
    radius, turn = _uniforms(key, 2 * pairs, dtype).split(pairs, -1)
    radius = torch.sqrt(-2 * torch.log1p(-radius))
    return torch.cat([radius * torch.cos(2 * pi * turn), radius * torch.sin(2 * pi * turn)], -1)[..., :many]


def _check_images(inputs: Tensor, index: Tensor, what: str) -> None:
    if inputs.dim() - index.dim() != 3:
        raise InputError(
            f"partition.{what} needs images (channels, height, width) and an input of this data set has the shape "
            f"{tuple(inputs.shape[index.dim() :])}; write partition.{what}=0 partition.noise=0.5."
        )
