"""Free riders: clients that do not train and want the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from fedlit.attacks.uplink_attack import CorruptedStage, UplinkAttack
from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan, model_keys
from fedlit.messages.stages.base import Stage
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout, Model
from fedlit.server_round import ServerRound


class FreeRider(UplinkAttack):
    """In place of its update a malicious client sends b + noise N(0, 1).

    b = 0 is the plain free rider, with noise the disguised one (Fraboni et al. 2021, sections 3.2 and 3.3). b = the
    last global change is the delta-weights attack, with noise the advanced one (Lin et al. 2019, section 3): it is the
    last reduced message, under FedAvg x_t - x_(t-1), and 0 in the first round. Its running statistics do
    not change. Numbers of the message are honest.

    A free rider knows the last change even if that round did not ask it. It costs no traffic, because the models tell
    it. (The run trains free riders too, and drops what they have trained.)
    """

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        sends: Literal["zeros", "last_change"] = "last_change",
        noise: float = 0.0,
    ):
        """
        Args:
            clients, rounds: see `Attack`.
            sends: b, "zeros" or "last_change".
            noise: standard deviation of the noise on each weight.
        """
        super().__init__(clients, rounds)
        self.sends, self.noise = sends, noise

    def stage(self) -> Stage | None:
        return LastChange(self) if self.sends == "last_change" else CorruptedStage(self)

    def corrupted(self, client: StageClient, wire: Wire) -> Wire:
        changed = {key: self._sent(client, key, wire[key]) for key in model_keys(wire, client.layout.size)}
        statistics = {f"{key.removesuffix('.weights')}.statistics" for key in changed}
        return changed | {key: torch.zeros_like(wire[key]) for key in statistics & wire.keys()}

    def _sent(self, client: StageClient, key: str, honest: Tensor) -> Tensor:
        change = client.received.get(key)
        sent = torch.zeros_like(honest) if change is None else change.to(honest.dtype).expand_as(honest)
        return sent + self.noise * client.draw("normal", f"free rider {key}", honest) if self.noise else sent


class LastChange(CorruptedStage):
    """The stage of free riders that know the last change. The server keeps it, key -> (P,)."""

    def setup(self, layout: Layout, clients: int) -> None:
        self._size = layout.size

    def check(self, plan: MessagePlan) -> None:
        super().check(plan)
        if plan.hands_over:
            raise InputError(
                f"attack.sends=last_change: {plan.algorithm} gets every message, and there is no last change that all "
                "clients share; write attack.sends=zeros."
            )

    def server_state(self, model: Model) -> dict[str, Any]:
        return {"change": {}}

    def broadcast(self, server: dict[str, Any]) -> Wire:
        return dict(server["change"])

    def reduced(
        self, reduced: Wire, server: dict[str, Any], round: ServerRound
    ) -> tuple[Wire, dict[str, Any], dict[str, float]]:
        change = {key: reduced[key] for key in model_keys({k: v[None] for k, v in reduced.items()}, self._size)}
        return reduced, {"change": change} if change else server, {}
