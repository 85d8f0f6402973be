"""What the stages share that scale each tensor of the module by itself, or the whole vector."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.stages.compression import Compression
from fedlit.model_vectors import Layout
from fedlit.plurals import counted


class TensorwiseCompression(Compression, ABC):
    """A vector (K, P) has G scales: one for each tensor of the module, or one for the vector, G = 1.

    Args:
        per_tensor: each tensor has a scale.
        keys: see `KeyedStage`.
        feedback: see `Compression`.
    """

    def __init__(self, per_tensor: bool, keys: Sequence[str] | None = None, feedback: bool = False):
        super().__init__(keys, feedback)
        self.per_tensor = per_tensor
        self._tensor_sizes: list[int] = []

    def setup(self, layout: Layout, clients: int) -> None:
        super().setup(layout, clients)
        self._tensor_sizes = [shape.numel() for shape in layout.weights.values() if shape.numel()]

    def check(self, plan: MessagePlan) -> None:
        super().check(plan)
        for key in self.planned_keys(plan):
            self.scaled_sizes(key, plan.message[key].numel())

    def scaled_sizes(self, key: str, size: int) -> list[int]:
        """The lengths (G) of the parts of a vector that have a scale each.

        Args:
            key: the key of the vector, for the sentence.
            size: P.

        Raises:
            InputError: the vector has not the length of the model, so that it has no tensors.
        """
        if not self.per_tensor:
            return [size]
        if sum(self._tensor_sizes) != size:
            raise InputError(
                f"{type(self).__name__}: {key} has length {size}, and the tensors of the model have "
                f"{counted(sum(self._tensor_sizes), 'number')}, so that it cannot be cut into these; write "
                "per_tensor=false."
            )
        return self._tensor_sizes
