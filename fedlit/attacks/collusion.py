"""Malicious clients that agree on what they send: a reduction around the run's own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from fedlit.attacks.base import Attack
from fedlit.attacks.uplink_attack import check_changes_models
from fedlit.client import Client
from fedlit.device_copies import to_device
from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan, model_keys
from fedlit.messages.reductions.base import Reduced, Reduction
from fedlit.messages.stages.scales import wide
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout, Model
from fedlit.notices import warn
from fedlit.server_round import ServerRound

Knowledge = Literal["all", "colluders"]
_INNER = ("blind", "hands_over", "zero_without_clients", "weighs_by_messages")


@dataclass(frozen=True)
class Known:
    """What colluding clients know in a round.

    Attributes:
        messages: key of a Model's weights -> (H, P): the messages of H clients, in 32 bits at least. They are those of
            the honest clients under `knowledge` "all", and those that the malicious clients would send if they were
            honest under "colluders".
        clients: H numbers, of these clients.
        malicious: F numbers, of the malicious clients whose messages arrived.
        arrived: n, the number of all clients whose messages arrived.
        round: the round.
    """

    messages: Wire
    clients: list[int]
    malicious: list[int]
    arrived: int
    round: ServerRound


class CollusiveAttack(Attack):
    """All malicious clients of a round agree on what they send. A subclass writes `agree`.

    Their messages are replaced after the server has decoded them, so that no stage of the uplink changes what they
    agree on: it is neither compressed nor clipped on the way. Bytes, running statistics and numbers are those of their
    honest messages.
    """

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        knowledge: Knowledge = "all",
    ):
        """
        Args:
            clients, rounds: see `Attack`.
            knowledge: the messages that they know, "all" (of the honest clients) or "colluders" (what they would send
                themselves if they were honest).
        """
        super().__init__(clients, rounds)
        self.knowledge = knowledge

    def setup(self, clients: int, seed: int) -> None:
        super().setup(clients, seed)
        if self.knowledge == "colluders" and len(self.malicious) == 1:
            raise InputError(
                f"attack.knowledge=colluders: client {self.malicious.numbers[0]} is the only malicious one and knows "
                "its own message alone; write attack.knowledge=all, or a larger attack.clients."
            )

    def collusion(self, reduction: Reduction) -> Reduction:
        return around(reduction, self)

    @abstractmethod
    def agree(self, known: Known, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        """What the malicious clients send.

        Args:
            state: what `agree` returned in its last round; {} at first. It is in the checkpoint.

        Returns:
            key -> (1, P), one message for all of them, or (F, P), one for each; and the new state.
        """


class Collusion(Reduction):
    """Collects the decoded messages of a round, replaces those of the malicious clients, and passes all on to the run's
    reduction in cohort order, in the chunks in which they came. In a round without an attack messages pass at once.

    It needs the memory of all messages of a round. The state holds that of the inner reduction.
    """

    single: ClassVar[bool] = True

    def __init__(self, inner: Reduction, attack: CollusiveAttack):
        """
        Raises:
            InputError: the server sees sums only under the inner reduction.
        """
        if inner.blind:
            raise InputError(
                f"attack: under {type(inner).__name__} nobody sees the clients' own messages, so malicious clients "
                f"cannot agree by them as {attack} needs; write an attack of single clients, such as "
                "attack=sign_flip, or another reduction."
            )
        self.inner, self.attack, self._size = inner, attack, 0
        vars(self).update({name: getattr(inner, name) for name in _INNER})  # the server treats it as the inner one

    def setup(self, layout: Layout, clients: int) -> None:
        self._size = layout.size
        self.inner.setup(layout, clients)

    def check(self, plan: MessagePlan) -> None:
        check_changes_models(self.attack, plan)
        self.inner.check(plan)

    def server_state(self, model: Model) -> dict[str, Any]:
        return {"inner": self.inner.server_state(model), "attack": {}}

    def begin(self) -> None:
        self._collector = self.inner.start(self.weighting, self.round, self.state.get("inner"))
        malicious = self.attack.malicious
        self._is_attacked = self.attack.is_active(self.round.number) and any(c in malicious for c in self.round.cohort)
        self._chunks: list[tuple[list[int], Wire, Tensor]] = []

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        if self._is_attacked:
            self._chunks.append((clients, wire, examples))
        else:
            self._collector.add(clients, wire, examples)

    def finish(self) -> Reduced:
        state = self.state.get("attack", {})
        if any(client in self.attack.malicious for clients, _, _ in self._chunks for client in clients):
            sent, state = self.attack.agree(self._known(), state)
            self._replace(sent)
        for chunk in self._chunks:
            self._collector.add(*chunk)
        reduced = self._collector.finish()
        inner_state = self.state.get("inner", {}) if reduced.state is None else reduced.state
        return replace(reduced, state={"inner": inner_state, "attack": state})

    def _known(self) -> Known:
        clients = [client for numbers, _, _ in self._chunks for client in numbers]
        malicious = [client for client in clients if client in self.attack.malicious]
        honest = [client for client in clients if client not in self.attack.malicious]
        knows_all = self.attack.knowledge == "all" and honest
        if self.attack.knowledge == "all" and not honest:
            warn(
                f"attack: a round had malicious clients only, and {self.attack} knows their own messages in place of "
                "those of honest clients."
            )
        elif not knows_all and len(malicious) == 1:
            warn(f"attack: a round had one malicious client, and {self.attack} knows its own message only.")
        members = frozenset(honest if knows_all else malicious)
        rows = [[r for r, client in enumerate(numbers) if client in members] for numbers, _, _ in self._chunks]
        chosen = [(wire, r) for (_, wire, _), r in zip(self._chunks, rows, strict=True) if r]
        messages = {
            key: torch.cat([wide(wire[key].index_select(0, to_device(r, wire[key].device))) for wire, r in chosen])
            for key in self._keys()
        }
        return Known(messages, [c for c in clients if c in members], malicious, len(clients), self.round)

    def _replace(self, sent: Wire) -> None:
        """Put the messages (1, P) or (F, P) in the place of those of the malicious clients."""
        begin, chunks = 0, []
        for clients, wire, examples in self._chunks:
            rows = [r for r, client in enumerate(clients) if client in self.attack.malicious]
            if rows:
                wire = wire | {key: _with_rows(wire[key], rows, value, begin) for key, value in sent.items()}
            chunks.append((clients, wire, examples))
            begin += len(rows)
        self._chunks = chunks

    def _keys(self) -> list[str]:
        """The keys of the weights of models."""
        _, wire, _ = self._chunks[0]
        return model_keys(wire, self._size)


class EncodedCollusion(Collusion):
    """Around a reduction with a client's half of its own."""

    def encode(self, client: Client, wire: Wire, weighting: Mapping[str, str]) -> Wire:
        return self.inner.encode(client, wire, weighting)


def around(inner: Reduction, attack: CollusiveAttack) -> Collusion:
    """The collusion around a reduction. (What a reduction encodes is checked on the server, so `Collusion` has no
    `encode`.)"""
    return Collusion(inner, attack) if type(inner).encode is Reduction.encode else EncodedCollusion(inner, attack)


def _with_rows(value: Tensor, rows: list[int], sent: Tensor, begin: int) -> Tensor:
    """A chunk (K, P) whose malicious rows are the next ones of those that are sent."""
    of_rows = sent if len(sent) == 1 else sent[begin : begin + len(rows)]
    new_rows = of_rows.to(value.dtype).expand(len(rows), *value.shape[1:])
    return value.index_copy(0, to_device(rows, value.device), new_rows)
