"""The contract of an attack: what malicious clients do while training."""

from __future__ import annotations

import logging
from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any

from fedlit.attacks.malicious import AttackRounds, MaliciousClients, malicious_numbers
from fedlit.attacks.metrics import attack_row
from fedlit.data.extra_test import ExtraTest
from fedlit.data.source import DataSource
from fedlit.data.transform import RoundTransform
from fedlit.errors import InputError
from fedlit.messages.reductions.base import Reduction
from fedlit.messages.stages.base import Stage
from fedlit.metric_names import Row
from fedlit.plurals import counted
from fedlit.server_round import ServerRound

log = logging.getLogger(__name__)


class Attack(ABC):  # noqa: B024  (its kinds have abstract methods)
    """Some clients are malicious. Their data, their messages, or all their messages together are changed.

    The malicious clients are the same in all rounds of a run. The rules of the server do not know them: a robust
    reduction reads its own `f`. Malicious clients train as the others do, before their message is changed.

    A subclass overrides what it needs of `poison`, `stage` and `collusion`. `DataAttack`, `UplinkAttack` and
    `CollusiveAttack` are the three kinds, each with one method to write.

    Attributes:
        malicious: the malicious clients; known after `setup`.
    """

    malicious = MaliciousClients((), 0)

    def __init__(self, clients: float | Sequence[int] = 0.2, rounds: Sequence[int] | Mapping[str, int] | None = None):
        """
        Args:
            clients: a share of all clients, drawn from the seed, or a list of their numbers; 0 or []: none, and the
                success of the attack is measured on the clean model.
            rounds: the rounds of the attack: None (all), a list, or {"from": first, "every": interval}.

        Raises:
            InputError: `rounds` is none of these.
        """
        self.clients, self.rounds = clients, AttackRounds(rounds)

    def __str__(self) -> str:
        return type(self).__name__

    def setup(self, clients: int, seed: int) -> None:
        """Called once, before any other method: draws the malicious clients.

        Raises:
            InputError: see `malicious_numbers`.
        """
        self.malicious = MaliciousClients(malicious_numbers(self.clients, clients, seed), clients)
        self.seed = seed
        if len(self.malicious) == clients:
            log.warning("attack.clients=%s: every client is malicious", self.clients)

    def warn_of_rounds(self, rounds: int) -> None:
        """Warn of an attack that no round of the run has.

        Args:
            rounds: of the run.
        """
        if len(self.malicious) and not any(number in self.rounds for number in range(1, rounds + 1)):
            log.warning("attack.rounds=%s: no attack takes place in %s", self.rounds, counted(rounds, "round"))

    def is_active(self, round_number: int) -> bool:
        """Whether malicious clients attack in this round."""
        return len(self.malicious) > 0 and round_number in self.rounds

    def check(self, data: DataSource, algorithm: str, pooled: bool) -> None:
        """Called once, before any work.

        Args:
            pooled: one client trains on the shards of all.

        Raises:
            InputError: the attack cannot be made in this run.
        """
        if pooled and len(self.malicious):
            raise InputError(
                f"attack: {algorithm} trains one model on the data of all clients, so no client can be malicious; "
                "write attack=none, or another aggregator."
            )

    def poison(self, data: DataSource) -> RoundTransform | None:
        """What changes the training batches of malicious clients; None: nothing does."""
        return None

    def stage(self) -> Stage | None:
        """The first stage of the uplink, which changes the messages of malicious clients one by one; None: none."""
        return None

    def collusion(self, reduction: Reduction) -> Reduction:
        """The run's reduction, or a reduction around it that replaces the messages of malicious clients.

        Raises:
            InputError: the server does not see the clients' own messages.
        """
        return reduction

    def extra_tests(self, data: DataSource) -> dict[str, ExtraTest]:
        """Further test sets, which measure whether the attack succeeds."""
        return {}

    def row(self, round: ServerRound, excluded: Sequence[int] | None) -> Row:
        """The metrics of a round (`attack_row`); none without malicious clients.

        Args:
            round: with the clients that were asked, and those that arrived.
            excluded: `Reduced.excluded`.
        """
        if not len(self.malicious):
            return {}
        return attack_row(self.malicious, self.is_active(round.number), round.cohort, round.arrived, excluded)

    def marked(self, lines: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Lines of clients.jsonl, those of malicious clients with "malicious": true."""
        if not len(self.malicious):
            return lines
        return [line | ({"malicious": True} if line["client"] in self.malicious else {}) for line in lines]


class NoAttack(Attack):
    """All clients are honest."""

    def __init__(self, measured: Attack | None = None) -> None:
        """
        Args:
            measured: an attack without malicious clients, whose success on the clean model is measured; None: none.
        """
        super().__init__(clients=0)
        self.measured = measured

    def extra_tests(self, data: DataSource) -> dict[str, ExtraTest]:
        return {} if self.measured is None else self.measured.extra_tests(data)
