"""Wrong running statistics, which most robust rules do not look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedlit.attacks.uplink_attack import UplinkAttack
from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire


class Statistics(UplinkAttack):
    """A malicious client leaves its weights honest and sends `value` as the change of every running statistic, such as
    the means and variances of batch normalisation. They are averaged by their plain mean, and a variance below 0 makes
    every output NaN."""

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        value: float = -1000.0,
    ):
        """
        Args:
            clients, rounds: see `Attack`.
            value: what stands in the message for each statistic.
        """
        super().__init__(clients, rounds)
        self.value = value

    def check_messages(self, plan: MessagePlan) -> None:
        if not _keys(plan.message):
            raise InputError(
                f"attack=statistics changes running statistics, and the messages of {plan.algorithm} hold none here; "
                "write a model with batch normalisation, such as model=cnn_bn, or another attack."
            )

    def corrupted(self, client: StageClient, wire: Wire) -> Wire:
        return {key: wire[key].new_full((), self.value).expand_as(wire[key]) for key in _keys(wire)}


def _keys(wire: Mapping[str, Any]) -> list[str]:
    """The keys of the running statistics of models that have some."""
    return [key for key, value in wire.items() if key.endswith(".statistics") and value.shape[-1]]
