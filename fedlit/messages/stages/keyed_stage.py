"""A stage that works on some vectors of a message, which its option `keys` names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan, model_keys
from fedlit.messages.stages.base import Stage
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout


class KeyedStage(Stage):
    """
    Args:
        keys: keys of a message, such as ["delta"], or of the wire, such as ["delta.weights.values"], the part that
            TopK has made; None: the vectors that move a model (`messages.plan.model_keys`). The statistics of a Model
            are among them only where they are named, as in ["delta.statistics"].
    """

    def __init__(self, keys: Sequence[str] | None = None):
        if isinstance(keys, str) or (keys is not None and not len(keys)):
            raise InputError(f"{type(self).__name__}: keys={keys!r}; write a list such as [delta], or null.")
        self.keys = None if keys is None else tuple(keys)
        self.size = 0
        self.exact: tuple[str, ...] = ()

    def setup(self, layout: Layout, clients: int) -> None:
        self.size = layout.size

    @property
    def needs(self) -> tuple[str, ...]:
        return self.keys or ()

    def check(self, plan: MessagePlan) -> None:
        self.exact = plan.exact
        if self.keys is None:
            plan.check_moves_model(
                f"uplink: {type(self).__name__}", "leave the stage out, or name vectors by its option keys"
            )

    def planned_keys(self, plan: MessagePlan) -> list[str]:
        """The keys of the algorithm's message on which the stage works; parts that other stages make are none."""
        if self.keys is None:
            return plan.model_keys()
        return [key for name in self.keys for key in (name, f"{name}.weights") if key in plan.message]

    def chosen_keys(self, stage: str, wire: Wire) -> list[str]:
        """The keys of the wire (K, ...) on which the stage works.

        Args:
            stage: its name.

        Raises:
            InputError: there are none, as after a stage that has encoded them, or they hold no floating-point numbers.
        """
        if self.keys is None:
            keys = [key for key in model_keys(wire, self.size) if key not in self.exact]
            missing = [] if keys else ["the weights of a model"]
        else:
            by_name = {name: [key for key in (name, f"{name}.weights") if key in wire] for name in self.keys}
            keys = list(dict.fromkeys(key for keys in by_name.values() for key in keys))
            missing = [name for name, keys in by_name.items() if not keys]
        if not wire:
            raise InputError(
                f"uplink.{stage} needs {missing[0]}, and the clients of this algorithm send nothing; write 'uplink=[]' "
                "or another aggregator."
            )
        if missing:
            parts = [key for key in wire if key.endswith(".values")]
            named = f"write 'uplink.{stage}.keys=[{','.join(parts)}]', or " if parts else ""
            if self.keys is not None:
                named = f"name one of these by uplink.{stage}.keys, or "
            raise InputError(
                f"uplink.{stage} needs {missing[0]}, and the message that reaches it has {', '.join(wire)}; "
                f"{named}leave out one of the stages."
            )
        for key in keys:
            if not isinstance(wire[key], Tensor) or not wire[key].is_floating_point():
                kind = wire[key].dtype if isinstance(wire[key], Tensor) else "a list of rows of unequal lengths"
                raise InputError(
                    f"uplink.{stage} works on tensors (K, ...) of floating-point numbers, and {key} is {kind}; name "
                    f"others by uplink.{stage}.keys."
                )
        return [key for key in keys if wire[key].shape[-1]]
