"""Scaled updates: model replacement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedlit.attacks.uplink_attack import UplinkAttack
from fedlit.messages.plan import model_keys
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire


class Scaling(UplinkAttack):
    """A malicious client sends gamma m in place of its message m (Bagdasaryan et al. 2020, equation 3: with
    gamma = n / eta the mean of n updates becomes the attacker's model), for the weights of each Model in it. Statistics
    and numbers are honest. One shot is `rounds=[t]`."""

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        gamma: float | None = 10.0,
    ):
        """
        Args:
            clients, rounds: see `Attack`.
            gamma: factor of the message; None: the number of clients that the round asks, which replaces the model if
                all count the same and one of them is malicious.
        """
        super().__init__(clients, rounds)
        self.gamma = gamma

    def corrupted(self, client: StageClient, wire: Wire) -> Wire:
        gamma = len(client.round.cohort) if self.gamma is None else self.gamma
        return {key: gamma * wire[key] for key in model_keys(wire, client.layout.size)}
