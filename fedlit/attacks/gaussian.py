"""Gaussian noise in place of an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal

import torch

from fedlit.attacks.collusion import CollusiveAttack, Known
from fedlit.attacks.uplink_attack import CorruptedStage, UplinkAttack
from fedlit.messages.plan import model_keys
from fedlit.messages.reductions.base import Reduction
from fedlit.messages.stages.base import Stage
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire


class Gaussian(UplinkAttack, CollusiveAttack):
    """A malicious client sends scale u / sqrt(P) N(0, I_P) in place of its message, of norm scale u up to chance
    (Blanchard et al. 2017, section 5, send N(0, 200^2 I)), for the weights of each Model by themselves. Each malicious
    client has noise of its own.

    The unit u is the norm of the client's own honest message under `knowledge` "own", so that it needs no other: the
    stage is then the first of the uplink. Under "colluders" and "all" it is the median norm of the messages that they
    know, and the messages are replaced on the server, as those of `CollusiveAttack`.
    """

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        knowledge: Literal["own", "colluders", "all"] = "own",
        scale: float = 10.0,
    ):
        """
        Args:
            clients, rounds: see `Attack`.
            knowledge: of which messages the norm is known.
            scale: the noise's norm in units of u.
        """
        CollusiveAttack.__init__(self, clients, rounds, "all" if knowledge == "own" else knowledge)
        self.by_itself, self.scale = knowledge == "own", scale

    def stage(self) -> Stage | None:
        return CorruptedStage(self) if self.by_itself else None

    def collusion(self, reduction: Reduction) -> Reduction:
        return reduction if self.by_itself else CollusiveAttack.collusion(self, reduction)

    def corrupted(self, client: StageClient, wire: Wire) -> Wire:
        changed = {}
        for key in model_keys(wire, client.layout.size):
            honest = wire[key]
            unit = honest.flatten(1).norm(dim=1).reshape(-1, *[1] * (honest.dim() - 1)) / prod(honest.shape[1:]) ** 0.5
            changed[key] = self.scale * unit * client.draw("normal", f"noise {key}", honest)
        return changed

    def agree(self, known: Known, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        sent = {}
        for key, m in known.messages.items():
            unit = m.flatten(1).norm(dim=1).quantile(0.5) / prod(m.shape[1:]) ** 0.5
            streams = [known.round.generator("attack", "noise", key, client) for client in known.malicious]
            noise = torch.stack([torch.from_numpy(rng.standard_normal(m.shape[1:])) for rng in streams]).to(m.dtype)
            sent[key] = self.scale * unit * noise.to(m.device, non_blocking=True)
        return sent, state
