"""Measuring any module: the loss of `training_step` in evaluation mode, and metrics of the outputs of `forward`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from fedlit.evaluation.measured_module import MeasuredModule
from fedlit.evaluation.outputs import refuse_non_finite_inputs
from fedlit.evaluation.parts import Parts
from fedlit.evaluation.tally import Tally
from fedlit.user_module.training_step import call_step, loss_of


def measure_parts(subject: MeasuredModule, parts: Parts, batch_size: int, tally: Tally) -> None:
    """Each part by itself. `subject` is open."""
    for row in range(len(parts)):
        key = parts.key(row)
        for batch_idx, batch in enumerate(parts.batches(row, batch_size)):
            batch, outputs, loss = _run(subject, key, batch, batch_idx, needs_outputs=True)
            part_of = np.full(parts.batch_length(row, batch_idx, batch_size), row)
            tally.begin_batch()
            if loss is not None:
                tally.add_losses(part_of, loss.expand(len(part_of)))
            if outputs is not None:
                tally.add_outputs(part_of, outputs, parts.samples.measured_targets(batch))
            if not tally.finite:
                refuse_non_finite_inputs(batch, parts.split, subject.name)


def mean_loss(subject: MeasuredModule, parts: Parts, batch_size: int) -> float:
    """The mean over the samples of the one part of `training_step`'s loss; NaN where it gives none."""
    total, count, key = 0.0, 0, parts.key(0)
    for batch_idx, batch in enumerate(parts.batches(0, batch_size)):
        _, _, loss = _run(subject, key, batch, batch_idx, needs_outputs=False)
        if loss is not None:
            length = parts.batch_length(0, batch_idx, batch_size)
            total += float(loss) * length
            count += length
    return total / count if count else float("nan")


def _run(
    subject: MeasuredModule, key: int, batch: Any, batch_idx: int, needs_outputs: bool
) -> tuple[Any, Any, Tensor | None]:
    """A batch of a part as the module got it, the outputs of `forward`, and the step's loss; None for an absent one."""

    def run() -> tuple[Any, Any, Tensor | None]:
        with subject.step(key, batch_idx):
            received = subject.received(batch)
            outputs, loss = _outputs_and_loss(subject.module, received, batch_idx, needs_outputs)
        return received, outputs, None if loss is None else loss.detach()

    return subject.tried(key, run) if batch_idx == 0 else run()


def _outputs_and_loss(
    module: LightningModule, batch: Any, batch_idx: int, needs_outputs: bool
) -> tuple[Any, Tensor | None]:
    """The output of `forward` inside the training_step, or for the batch's first element; and the step's loss."""
    calls: list[tuple[Any, Any]] = []
    hook = module.register_forward_hook(lambda m, inputs, output: calls.append((inputs[0] if inputs else None, output)))
    inputs = batch[0] if isinstance(batch, list | tuple) else batch
    try:
        # under manual optimisation the step would train
        loss = loss_of(call_step(module, batch, batch_idx)) if module.automatic_optimization else None
        if needs_outputs and not calls and is_overridden("forward", module):
            try:
                module(inputs)
            except Exception:  # a forward with other arguments: metrics of the outputs are left out
                return None, loss
    finally:
        hook.remove()
    # a step may also call forward with other inputs, such as noisy ones
    same_inputs = [output for received, output in calls if _are_same(received, inputs)]
    outputs = same_inputs or [output for _, output in calls]
    return (outputs[-1] if outputs else None), loss


def _are_same(received: Any, inputs: Any) -> bool:
    """Whether a call received the batch's inputs, perhaps in another shape."""
    if torch.is_tensor(received) and torch.is_tensor(inputs):
        return received.data_ptr() == inputs.data_ptr() and received.numel() == inputs.numel()
    return received is inputs
