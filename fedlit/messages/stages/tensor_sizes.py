"""The sizes of the tensors of a module, for stages that give each tensor a scale of its own."""

from __future__ import annotations

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.stages.keyed_stage import KeyedStage
from fedlit.model_vectors import Layout


class TensorSizes:
    """
    Args:
        per_tensor: each tensor of the module is a part; else a vector is one part.
    """

    def __init__(self, per_tensor: bool):
        self.per_tensor = per_tensor
        self._sizes: list[int] = []

    def setup(self, layout: Layout) -> None:
        """Called once, before `of`."""
        self._sizes = [shape.numel() for shape in layout.weights.values() if shape.numel()]

    def check(self, stage: KeyedStage, plan: MessagePlan) -> None:
        """
        Raises:
            InputError: a vector of the message has not the length of the model.
        """
        for key in stage.planned_keys(plan):
            self.of(
                plan.message[key].numel(), f"uplink: {key} of {plan.algorithm}", f"per_tensor of {type(stage).__name__}"
            )

    def of(self, size: int, what: str, option: str) -> list[int]:
        """The sizes of the parts of a vector with `size` numbers.

        Args:
            what, option: what the vector is, and the option to correct, for the sentence.

        Raises:
            InputError: it has not the length of the model.
        """
        if not self.per_tensor:
            return [size]
        if sum(self._sizes) != size:
            raise InputError(
                f"{what} has length {size}, and the tensors of the model {sum(self._sizes)}, so that it cannot be "
                f"cut into these; write {option}=false."
            )
        return self._sizes
