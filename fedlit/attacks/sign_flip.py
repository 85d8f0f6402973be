"""Sign flipping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedlit.attacks.uplink_attack import UplinkAttack
from fedlit.messages.plan import model_keys
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire


class SignFlip(UplinkAttack):
    """A malicious client sends -scale m in place of its message m (Li et al. 2019, RSA, section 5; Karimireddy et al.
    2021), for the weights of each Model in it. Statistics and numbers are honest."""

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        scale: float = 1.0,
    ):
        """
        Args:
            clients, rounds: see `Attack`.
            scale: factor of the turned message; -1 is an honest one.
        """
        super().__init__(clients, rounds)
        self.scale = scale

    def corrupted(self, client: StageClient, wire: Wire) -> Wire:
        return {key: -self.scale * wire[key] for key in model_keys(wire, client.layout.size)}
