"""The feature shift of a client: rotation, colours and noise, keyed by client and sample."""

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
_NO_CLIENT = -1  # the client of a sample that no client holds


@dataclass(frozen=True)
class FeatureShift:
    """A `fedlit.data.Transform` that shifts the inputs of a batch by the draws of their client.

    The shift is a function of seed, client and sample number alone. It is the same in every epoch and split, in the
    batch (B,) of one client and in that of a stack (K, B). Inputs of client -1 do not change.
    """

    seed: int
    rotation: float  # largest angle, degrees
    noise: float  # largest standard deviation
    colour: float  # largest change of a channel's factor and of its offset
    angles: tuple[float, ...] = ()  # degrees of clients 0, 1, ...; the next client begins with the first one again

    def __call__(self, batch: Batch, index: Tensor, client: Tensor, split: str, key: Tensor) -> Batch:
        """Shift the inputs of a batch.

        Args:
            batch: floating-point inputs: images (..., B, C, H, W), or with noise only (..., B, *sample).
            index: (..., B) int64 sample numbers.
            client: (..., 1) or (..., B) int64 client numbers.
            split: not used: the shift is the same in training and test.
            key: not used: the shift is the same in every epoch.
        """
        return on_inputs(batch, lambda inputs: self._shifted(inputs, index, client.expand(index.shape)))

    def _shifted(self, given: Tensor, index: Tensor, client: Tensor) -> Tensor:
        if not given.is_floating_point():
            raise InputError(
                f"partition=feature needs floating-point inputs, but those of this data set are {given.dtype}; write "
                "partition=iid, or give floating-point inputs."
            )
        inputs = given
        client_key = _mixed(torch.full_like(client, self.seed), client)
        if self.rotation or self.angles:
            _check_images(inputs, index, "angles" if self.angles else "rotation")
            angle = (
                2 * keyed_uniform(client_key, torch.full_like(client_key, _ROTATION), inputs.dtype) - 1
            ) * self.rotation
            for number, planted in enumerate(self.angles):  # a table of angles would be copied to the device
                angle = torch.where(client % len(self.angles) == number, angle + planted, angle)
            inputs = rotate(inputs.flatten(0, index.dim() - 1), angle.flatten()).reshape(inputs.shape)
        if self.colour:
            _check_images(inputs, index, "colour")
            channels = inputs.shape[-3]
            draws = _uniforms(_mixed(client_key, torch.full_like(client_key, _COLOUR)), 2 * channels, inputs.dtype)
            factor, offset = (self.colour * (2 * draws - 1)).reshape(*index.shape, 2, channels, 1, 1).unbind(-4)
            inputs = inputs * (1 + factor) + offset
        if self.noise:
            strength = keyed_uniform(client_key, torch.full_like(client_key, _NOISE), inputs.dtype) * self.noise
            sample_key = _mixed(_mixed(client_key, torch.full_like(client_key, _NOISE)), index)
            numbers = inputs[(0,) * index.dim()].numel()
            noise = _normals(sample_key, numbers, inputs.dtype) * strength[..., None]
            inputs = inputs + noise.reshape(inputs.shape)
        no_client = (client == _NO_CLIENT).reshape(*index.shape, *(1,) * (given.dim() - index.dim()))
        return torch.where(no_client, given, inputs)


def rotate(images: Tensor, angle: Tensor) -> Tensor:
    """Rotate images (M, C, H, W) counter-clockwise about their centres by angles (M,) in degrees.

    Bilinear interpolation; places outside an image repeat its edge.
    """
    height, width = images.shape[-2:]
    cos, sin = torch.cos(angle * (pi / 180)), torch.sin(angle * (pi / 180))
    zero = torch.zeros_like(cos)
    # affine_grid scales both axes to [-1, 1]; the rotation of a rectangle must undo that.
    rows = [cos, -sin * height / width, zero, sin * width / height, cos, zero]
    grid = F.affine_grid(torch.stack(rows, -1).reshape(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _mixed(key: Tensor, number: Tensor) -> Tensor:
    """A 63-bit key for each pair of a key and a number."""
    return (keyed_bits(key, 2 * number) << 31) ^ keyed_bits(key, 2 * number + 1)


def _uniforms(key: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Uniform numbers in [0, 1), (..., count) for keys (...)."""
    return keyed_uniform(key[..., None], torch.arange(count, device=key.device), dtype)


def _normals(key: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers (..., count) for keys (...): sqrt(-2 ln u) (cos, sin)(2 pi v), Box and Muller 1958."""
    pairs = (count + 1) // 2
    radius, angle = _uniforms(key, 2 * pairs, dtype).split(pairs, -1)
    radius = torch.sqrt(-2 * torch.log1p(-radius))
    return torch.cat([radius * torch.cos(2 * pi * angle), radius * torch.sin(2 * pi * angle)], -1)[..., :count]


def _check_images(inputs: Tensor, index: Tensor, key: str) -> None:
    if inputs.dim() - index.dim() != 3:
        raise InputError(
            f"partition.{key} needs images (channels, height, width), but an input of this data set has shape "
            f"{tuple(inputs.shape[index.dim() :])}; write partition.{key}={'null' if key == 'angles' else 0} "
            f"{'partition.rotation=0 ' if key == 'angles' else ''}partition.noise=0.5."
        )
