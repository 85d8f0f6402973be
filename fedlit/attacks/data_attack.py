"""Attacks by data: malicious clients train on changed batches."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from fedlit.attacks.base import Attack
from fedlit.data.source import DataSource
from fedlit.data.targets import Part
from fedlit.data.transform import Batch, RoundTransform, Transform


class DataAttack(Attack):
    """The training data of malicious clients are other data: in their fits, and where an algorithm or a sampler asks
    for sums or losses over training samples. Validation, test and public samples stay as they are."""

    def poison(self, data: DataSource) -> RoundTransform | None:
        return Poison(self, data.train.target)

    @abstractmethod
    def poisoned(self, batch: Batch, part: Part | None, index: Tensor, client: Tensor, rank: Tensor) -> Batch:
        """The changed batch, of a chunk of clients of which some are malicious.

        Args:
            batch: inputs (..., B, *sample), after augmentation and the shift of a partition.
            part: of the targets in the batch (`Samples.target`).
            index: (..., B) int64, the samples.
            client: (..., B) int64, their clients.
            rank: (..., B) the place of the client among the malicious ones; -1: it is honest, and the sample stays as
                it is.
        """


@dataclass
class Poison:
    """The transforms of the rounds of a run (`fedlit.data.transform.RoundTransform`)."""

    attack: DataAttack
    part: Part | None

    def in_round(self, number: int) -> Transform | None:
        return self if self.attack.is_active(number) else None

    def __call__(self, batch: Batch, index: Tensor, client: Tensor, split: str, key: Tensor) -> Batch:
        client = client.expand(index.shape)
        rank = self.attack.malicious.rank(client)
        return self.attack.poisoned(batch, self.part, index, client, rank)
