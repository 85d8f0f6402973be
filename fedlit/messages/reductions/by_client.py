"""Rules that give each client's message a factor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions.base import Reduced, Reduction
from fedlit.messages.reductions.columns import weighted_sum
from fedlit.messages.reductions.rule import Messages, RobustRule, check_option
from fedlit.messages.wire import unflatten_message


@dataclass(frozen=True)
class Weights:
    """How much each of n messages counts.

    Attributes:
        factors: (n,); the vectors that move the model reduce to sum_i factors_i x_i.
        relative: (n,), at least 0, how much the numbers of each message count; None: the factors.
        scales_statistics: statistics reduce with the factors, too; else with `shares`, which keeps a running variance
            among those of the clients.
        report: numbers for the row of metrics.
        state: what the server keeps of these keys from now on.
    """

    factors: np.ndarray
    relative: np.ndarray | None = None
    scales_statistics: bool = True
    report: Mapping[str, float] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def shares(self) -> np.ndarray:
        """(n,) how much each message counts in a mean: their sum is 1."""
        relative = self.factors if self.relative is None else self.relative
        return relative / relative.sum()


class RuleByClient(RobustRule):
    """Weighs whole messages by the vectors in them that move the model, all together (`messages.plan.model_keys`).

    The factors of the weights are those of the statistics, unless `statistics` is "own": then the rule weighs the
    statistics by what it sees of them. Other numbers of a message, such as a count of steps, are averaged with the
    factors over their sum.
    """

    excludes: ClassVar[bool] = True
    """Messages may have no part in the reduced one; False: each counts, though some count less."""

    def __init__(self, statistics: str = "same"):
        """
        Args:
            statistics: "same" or "own"; a client whose weights look honest may send any running variance under "same".

        Raises:
            InputError: `statistics` has another value.
        """
        check_option("statistics", statistics, statistics in ("same", "own"), "same or own")
        self.statistics = statistics

    @abstractmethod
    def weigh(self, messages: Messages, keys: Sequence[str], state: Mapping[str, Any]) -> Weights:
        """The weights of the messages by their vectors under some keys; all factors 0 if the rule trusts none.

        Args:
            keys: those of the vectors that move the model, or of all statistics.
            state: what the server keeps for these keys.
        """

    def combine(self, value: Tensor, factors: np.ndarray) -> Tensor:
        """(...) of a value (n, ...): the weighted sum."""
        return weighted_sum(value, torch.from_numpy(factors))

    def complete(self, key: str, reduced: Tensor, weights: Weights) -> Tensor:
        """A vector that moves the model, from the weighted sum of the clients'."""
        return reduced

    def keep(self, weights: Weights, reduced: Mapping[str, Tensor]) -> dict[str, Any]:
        """What the server keeps of some keys from now on.

        Args:
            reduced: the reduced vectors under these keys.
        """
        return weights.state

    def check(self, plan: MessagePlan) -> None:
        """
        Raises:
            InputError: no vector of the messages moves the model, or a round has fewer messages than the rule needs.
        """
        super().check(plan)
        check_compares_models(self, plan)

    def reduce(self, messages: Messages) -> Reduced:
        parts = {"weights": messages.model_keys}
        if self.statistics == "own" and messages.statistics_keys:
            parts["statistics"] = messages.statistics_keys
        weighed = {part: self.weigh(messages, keys, self.state.get(part, {})) for part, keys in parts.items()}
        for part, weights in weighed.items():
            if not weights.factors.any():
                state = {name: w.state for name, w in weighed.items() if w.state}
                return self.nothing(f"it trusts the {part} of no message", state or None)
        of_model = set(messages.model_keys)
        reduced = {key: self._combined(key, value, weighed, key in of_model) for key, value in messages.wire.items()}
        kept = {part: self.keep(weighed[part], {key: reduced[key] for key in keys}) for part, keys in parts.items()}
        used = np.any([weights.factors != 0 for weights in weighed.values()], 0)
        return Reduced(
            unflatten_message(reduced),
            state={part: state for part, state in kept.items() if state} or None,
            report=dict(weighed["weights"].report),
            excluded=self._excluded(messages.clients, used),
        )

    def _excluded(self, clients: Sequence[int], used: np.ndarray) -> list[int] | None:
        if not self.excludes:
            return None
        return [client for client, is_used in zip(clients, used, strict=True) if not is_used]

    def _combined(self, key: str, value: Tensor, weighed: Mapping[str, Weights], of_model: bool) -> Tensor:
        weights = weighed["weights"]
        if of_model:
            return self.complete(key, self.combine(value, weights.factors), weights)
        if key.endswith(".statistics"):
            weights = weighed.get("statistics", weights)
            return self.combine(value, weights.factors if weights.scales_statistics else weights.shares)
        return self.combine(value, weights.shares)


def check_compares_models(rule: Reduction, plan: MessagePlan) -> None:
    """
    Raises:
        InputError: no vector of the messages moves a model.
    """
    plan.check_moves_model(f"reduction: {type(rule).__name__}", "choose reduction=median, or another aggregator")
