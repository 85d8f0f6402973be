"""Attacks by messages: each malicious client changes its own, before any other stage."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlit.attacks.base import Attack
from fedlit.messages.plan import MessagePlan
from fedlit.messages.stages.base import Place, Stage
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire

NAME = "attack"
"""The name of the stage of an attack in `uplink`."""


class UplinkAttack(Attack):
    """A subclass writes `corrupted`."""

    def stage(self) -> Stage | None:
        return CorruptedStage(self)

    @abstractmethod
    def corrupted(self, client: StageClient, wire: Wire) -> Wire:
        """The keys that change, with the messages (K, ...) that the clients would send if all K were malicious."""

    def check_messages(self, plan: MessagePlan) -> None:
        """
        Raises:
            InputError: the attack changes nothing of the messages of this run.
        """
        check_changes_models(self, plan)


def check_changes_models(attack: Attack, plan: MessagePlan) -> None:
    """
    Raises:
        InputError: no vector of the messages moves a model.
    """
    plan.check_moves_model(
        f"attack: {attack}", "write an attack by data, such as attack=label_flip, or another aggregator"
    )


class CorruptedStage(Stage):
    """The messages of malicious clients in the rounds of their attack; all other messages keep their bits."""

    place: ClassVar[Place] = "attack"

    def __init__(self, attack: UplinkAttack):
        self.attack = attack

    def check(self, plan: MessagePlan) -> None:
        self.attack.check_messages(plan)

    def encode(self, client: StageClient, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        if not self._is_at_work(client):
            return wire, state
        is_malicious = self.attack.malicious.rank(client.number) >= 0
        changed = self.attack.corrupted(client, wire)
        return wire | {key: _chosen(is_malicious, value, wire[key]) for key, value in changed.items()}, state

    def _is_at_work(self, client: StageClient) -> bool:
        """Whether malicious clients attack in the round, and the round has asked any: the clients of the chunk are not
        compared here, so that the host does not wait for a GPU."""
        malicious, round = self.attack.malicious, client.round
        return self.attack.is_active(round.number) and any(number in malicious for number in round.cohort)


def _chosen(is_malicious: Tensor, changed: Tensor, honest: Tensor) -> Tensor:
    return torch.where(is_malicious.reshape(-1, *[1] * (honest.dim() - 1)), changed.to(honest.dtype), honest)
