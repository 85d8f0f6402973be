"""Measuring a module that gives the loss of each sample (fedlit's own do): many parts, or many models, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.evaluation.outputs import refuse_non_finite_inputs
from fedlit.evaluation.parts import Parts
from fedlit.evaluation.tally import Tally


def measure_parts(module: Any, parts: Parts, batch_size: int, tally: Tally) -> None:
    """One model on all parts; a batch may have samples of several."""
    sizes = np.array([len(part) for part in parts.parts], dtype=np.int64)
    part_of = np.repeat(np.arange(len(sizes)), sizes)
    index = np.concatenate([*(part.index for part in parts.parts), np.empty(0, np.int64)])
    clients = torch.cat([*(part.clients_of(slice(None)) for part in parts.parts), torch.empty(0, dtype=torch.long)])
    cuts = [slice(i, i + batch_size) for i in range(0, len(index), batch_size)]
    for cut, batch in zip(cuts, parts.samples.batches([index[c] for c in cuts]), strict=True):
        batch = parts.prepare(batch, torch.from_numpy(index[cut]), clients[cut])
        inputs, targets = batch[0], parts.samples.targets_in(batch)
        _add(tally, module, part_of[cut], module(inputs), inputs, targets, parts.split)


def measure_stack(
    module: Any, forward: Callable[[Tensor], Tensor], parts: Parts, batch_size: int, tally: Tally
) -> None:
    """K models together, each on its own part.

    Args:
        forward: inputs (K, B, ...) through the K models.
    """
    sizes = np.array([len(part) for part in parts.parts])
    longest, k = int(sizes.max()), len(sizes)
    index = np.stack([_padded(part.index, longest) for part in parts.parts])
    owners = [part.clients_of(slice(None)).numpy() for part in parts.parts]
    clients = torch.from_numpy(np.stack([_padded(owner, longest) for owner in owners]))
    is_sample = np.arange(longest) < sizes[:, None]  # the other positions are padding and are not counted
    width = max(8 * batch_size // k, 1)
    for cut in (slice(i, i + width) for i in range(0, longest, width)):
        batch = parts.prepare(parts.samples.batch(index[:, cut]), torch.from_numpy(index[:, cut]), clients[:, cut])
        all_outputs = forward(batch[0]).flatten(0, 1)
        positions = np.flatnonzero(is_sample[:, cut])
        kept = torch.from_numpy(positions).to(all_outputs.device)
        inputs, targets = (t.flatten(0, 1)[kept] for t in (batch[0], parts.samples.targets_in(batch)))
        part_of = positions // is_sample[:, cut].shape[1]
        _add(tally, module, part_of, all_outputs[kept], inputs, targets, parts.split)


def _add(
    tally: Tally, module: Any, part_of: np.ndarray, outputs: Tensor, inputs: Tensor, targets: Tensor, split: str
) -> None:
    tally.begin_batch()
    tally.add_losses(part_of, module.losses(outputs, targets))
    tally.add_outputs(part_of, outputs, targets)
    if not tally.finite:
        refuse_non_finite_inputs((inputs, targets), split, tally.module_name)


def _padded(numbers: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([numbers, np.zeros(length - len(numbers), dtype=np.int64)])
