"""A backdoor: images with a trigger belong to one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlit.attacks.changed_labels import ChangedLabels
from fedlit.attacks.data_attack import DataAttack
from fedlit.attacks.labelled import class_count
from fedlit.attacks.trigger import Corner, Trigger
from fedlit.attacks.uplink_attack import UplinkAttack
from fedlit.data.extra_test import ExtraTest
from fedlit.data.source import DataSource
from fedlit.data.targets import Part
from fedlit.data.transform import Batch, on_inputs
from fedlit.errors import InputError
from fedlit.messages.plan import model_keys
from fedlit.messages.stages.base import Stage
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire
from fedlit.metric_names import ATTACK_SUCCESS
from fedlit.randomness import keyed_bits, keyed_uniform, seed_number


class Backdoor(DataAttack, UplinkAttack):
    """A share of the training samples of a malicious client has a patch in a corner and the target's label (Gu et al.
    2017; in federated learning Bagdasaryan et al. 2020). The draw is that of sample and client, the same in all epochs.

    With parts > 1 the patch is shared out: the malicious clients, by number, get its parts in turn, and only test
    samples have the whole patch (DBA, Xie et al. 2020). With gamma > 1 their updates are multiplied by gamma (model
    replacement, Bagdasaryan et al. 2020, equation 3).

    `attack/success` is the share of the test samples of other classes that the global model takes for the target
    class once they have the patch.
    """

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        target: int = 0,
        share: float = 0.5,
        size: int = 3,
        corner: Corner = "bottom_right",
        value: float = 3.0,
        parts: int = 1,
        gamma: float = 1.0,
    ):
        """
        Args:
            clients, rounds: see `Attack`.
            target: the class of images with the trigger.
            share: of the training samples of a malicious client that get the trigger.
            size: pixels along a side of the patch.
            corner: of the image.
            value: of the patch's pixels, in units of the inputs that the model gets.
            parts: of the patch, which malicious clients get in turn.
            gamma: factor of the malicious clients' updates.

        Raises:
            InputError: the patch has fewer pixels than parts.
        """
        super().__init__(clients, rounds)
        if parts > size * size:
            raise InputError(
                f"attack.parts={parts}: a patch of {size} x {size} has no more parts than pixels; write "
                f"attack.parts={size * size} or less, or a larger attack.size."
            )
        self.target, self.share, self.gamma = target, share, gamma
        self.trigger = Trigger(size, corner, value, parts)

    def setup(self, clients: int, seed: int) -> None:
        super().setup(clients, seed)
        self.key = seed_number(seed, "samples with a trigger")

    def check(self, data: DataSource, algorithm: str, pooled: bool) -> None:
        super().check(data, algorithm, pooled)
        classes = class_count(data, "backdoor")
        if not 0 <= self.target < classes:
            raise InputError(
                f"attack.target={self.target} is no class of {data.name}, whose classes are 0 to {classes - 1}; write "
                "one of these."
            )
        _check_images(data, self.trigger)
        if 0 < len(self.malicious) < self.trigger.parts:
            raise InputError(
                f"attack.parts={self.trigger.parts}: the {len(self.malicious)} malicious clients cannot hold all parts "
                f"of the trigger; write attack.parts={len(self.malicious)} or less, or a larger attack.clients."
            )
        self.labels = ChangedLabels.all_to(classes, self.target)

    def poisoned(self, batch: Batch, part: Part | None, index: Tensor, client: Tensor, rank: Tensor) -> Batch:
        client_key = self.key ^ (keyed_bits(self.key, client) << 24)
        where = (rank >= 0) & (keyed_uniform(client_key, index) < self.share)
        batch = on_inputs(batch, lambda x: self.trigger.on_some(x, where, rank % self.trigger.parts))
        return self.labels.in_batch(batch, part, where)

    def stage(self) -> Stage | None:
        return None if self.gamma == 1 else super().stage()

    def corrupted(self, client: StageClient, wire: Wire) -> Wire:
        return {key: self.gamma * wire[key] for key in model_keys(wire, client.layout.size)}

    def extra_tests(self, data: DataSource) -> dict[str, ExtraTest]:
        transform = WithTrigger(self.trigger, self.labels, data.test.target)
        return {"attack success": ExtraTest(transform, self.labels.differ, {"accuracy": ATTACK_SUCCESS})}


@dataclass
class WithTrigger:
    """The transform of a test set: the whole patch, and the label of the target class."""

    trigger: Trigger
    labels: ChangedLabels
    part: Part | None

    def __call__(self, batch: Batch, index: Tensor, client: Tensor, split: str, key: Tensor) -> Batch:
        return self.labels.in_batch(on_inputs(batch, self.trigger.on), self.part)


def _check_images(data: DataSource, trigger: Trigger) -> None:
    """
    Raises:
        InputError: the inputs are no images (C, H, W) of the patch's size at least, or cannot hold its value.
    """
    batch = data.train.batch(np.zeros(1, dtype=np.int64))
    inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
    is_tensor = isinstance(inputs, Tensor)
    if not is_tensor or inputs.dim() != 4:
        kind = f"has shape {tuple(inputs.shape[1:])}" if is_tensor else f"is a {type(inputs).__name__}"
        raise InputError(
            f"attack=backdoor puts a patch on images (channels, height, width), and an input of {data.name} {kind}; "
            "write another attack, such as attack=label_flip, or another data set."
        )
    height, width = inputs.shape[-2:]
    if trigger.size > min(height, width):
        raise InputError(
            f"attack.size={trigger.size}: the images of {data.name} have {height} x {width} pixels; write "
            f"attack.size={min(height, width)} or less."
        )
    lowest, highest = (0, 1) if inputs.dtype == torch.bool else (-np.inf, np.inf)
    if not inputs.is_floating_point() and inputs.dtype != torch.bool:
        lowest, highest = torch.iinfo(inputs.dtype).min, torch.iinfo(inputs.dtype).max
    holds = lowest <= trigger.value <= highest and (inputs.is_floating_point() or trigger.value == int(trigger.value))
    if not holds:
        raise InputError(
            f"attack.value={trigger.value}: the inputs of {data.name} are {inputs.dtype} and cannot hold it; write a "
            f"whole number from {lowest} to {highest}."
        )
