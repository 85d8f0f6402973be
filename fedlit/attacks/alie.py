"""A Little Is Enough: Baruch et al. 2019."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from torch import Tensor

from fedlit.attacks.collusion import CollusiveAttack, Knowledge, Known
from fedlit.messages.wire import Wire
from fedlit.notices import warn


def supported_deviation(arrived: int, malicious: int) -> float:
    """The z of Baruch et al. 2019, algorithm 3: with n messages, f of them malicious, and the s = floor(n / 2 + 1) - f
    supporters that a majority needs, z = Phi^-1((n - f - s) / (n - f)).

    Malicious clients with a majority of their own need no supporter, and the formula is infinite: s is 1 then. Where
    no more than s honest clients are left, z is 0. One malicious client, or two of an even n, cannot deviate: z is 0,
    or below 0 for one of an even n, on the other side of the mean.

    >>> round(supported_deviation(50, 10), 4)
    0.2533
    """
    honest = arrived - malicious
    supporters = max(arrived // 2 + 1 - malicious, 1)
    return NormalDist().inv_cdf((honest - supporters) / honest) if honest > supporters else 0.0


class Alie(CollusiveAttack):
    """All malicious clients send m = mu - z sigma, entry by entry, with mean and standard deviation (divided by the
    number of messages) of the messages that they know (Baruch et al. 2019, algorithm 3; the sign of the authors' code).

    z is `supported_deviation`, from the numbers of messages that arrived in the round: the largest deviation at which
    enough honest messages lie further out than m.
    """

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        knowledge: Knowledge = "all",
        z: float | None = None,
    ):
        """
        Args:
            clients, rounds, knowledge: see `CollusiveAttack`. The paper's clients know "colluders".
            z: standard deviations from the mean; None: the paper's quantile.
        """
        super().__init__(clients, rounds, knowledge)
        self.z = z

    def agree(self, known: Known, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        z = supported_deviation(known.arrived, len(known.malicious)) if self.z is None else self.z
        if z == 0 and self.z is None:
            warn(
                "attack: Alie's z is 0 for these numbers of honest and malicious clients, so that the malicious ones "
                "send the mean of the messages that they know; write for example attack.z=1 to send another one."
            )
        return {key: m.mean(0, keepdim=True) - z * _std(m) for key, m in known.messages.items()}, state


def _std(messages: Tensor) -> Tensor:
    return messages.std(0, correction=0, keepdim=True)
