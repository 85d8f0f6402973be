"""Attacks on the way: somebody between the clients and the server changes their messages, after all stages."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from fedlit.attacks.base import Attack
from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.stages.base import Place, Stage
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire, joined_rows
from fedlit.model_vectors import stack, unstack


class TransitAttack(Attack):
    """`clients` are those whose messages pass the attacker. They are honest themselves. A subclass writes `changed`."""

    def stage(self) -> Stage:
        return TransitStage(self)

    @abstractmethod
    def changed(
        self, client: StageClient, row: int, message: dict[str, Tensor], kept: dict[str, Any]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What arrives of one client's message, tensors without axis K, and what the attacker keeps until its next one.

        Args:
            row: of the client among the K.
            kept: what `kept` and then this method gave.
        """

    def kept(self, wire: Wire, k: int) -> dict[str, Any]:
        """What the attacker keeps of each client before the first message, (K, ...)."""
        return {}


class TransitStage(Stage):
    """The last stage: messages of the clients that the attacker reaches, in the rounds of the attack."""

    place: ClassVar[Place] = "transit"

    def __init__(self, attack: TransitAttack):
        self.attack = attack

    def check(self, plan: MessagePlan) -> None:
        if plan.blind:
            raise InputError(
                f"attack: {self.attack} changes what the stages of uplink send, and {plan.reduction} sends messages of "
                "its own after them, whose receivers it takes to be who they say; write another attack or reduction."
            )

    def bound(self, norm: float | None) -> float | None:
        return None

    def state(self, client: StageClient, wire: Wire) -> dict[str, Any]:
        return self.attack.kept(wire, len(client.number))

    def encode(self, client: StageClient, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        if not self.attack.is_active(client.round.number):
            return wire, state
        numbers = client.number[:, 0].tolist()
        messages = [{key: value[row] for key, value in wire.items()} for row in range(len(numbers))]
        states = unstack(state, len(numbers))
        for row, number in enumerate(numbers):
            if number in self.attack.malicious:
                messages[row], states[row] = self.attack.changed(client, row, messages[row], states[row])
        return {key: joined_rows([m[key] for m in messages], value) for key, value in wire.items()}, stack(states)
