"""Man in the middle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from fedlit.attacks.transit import TransitAttack, TransitStage
from fedlit.errors import InputError
from fedlit.messages.sent import Sent
from fedlit.messages.stages.base import Stage
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire, joined_rows
from fedlit.round import Round
from fedlit.server_round import ServerRound

Change = Literal["flip", "replace", "foreign"]


class ManInTheMiddle(TransitAttack):
    """Somebody between a client and the server changes the client's message: a bit, all of it, or whose it is.

    "flip" turns one bit of the message, at a random place. "replace" puts another message of the same form in its
    place: -m for floating-point numbers m, random bytes for all others, as for a sealed message. "foreign" passes the
    message of another client off as this one's: of the client whose message came to the server before it in the round.
    The first one of a round has none before it, and passes as it is.
    """

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        change: Change = "flip",
    ):
        """
        Args:
            clients: those whose messages pass the attacker, a share or a list.
            rounds: see `Attack`.
            change: "flip", "replace" or "foreign".

        Raises:
            InputError: `change` is none of them.
        """
        super().__init__(clients, rounds)
        if change not in get_args(Change):
            raise InputError(f"attack.change={change!r} is not allowed; write {' or '.join(get_args(Change))}.")
        self.change = change

    def stage(self) -> Stage:
        return ForeignMessages(self) if self.change == "foreign" else TransitStage(self)

    def changed(
        self, client: StageClient, row: int, message: dict[str, Tensor], kept: dict[str, Any]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if self.change == "flip":
            return self._with_one_bit_turned(client, row, message), kept
        return {key: self._another(client, row, key, value) for key, value in message.items()}, kept

    def _with_one_bit_turned(self, client: StageClient, row: int, message: dict[str, Tensor]) -> dict[str, Tensor]:
        sizes = {key: value.numel() * value.element_size() for key, value in message.items()}
        bit = int(8 * sum(sizes.values()) * float(client.draw("uniform", "bit", _one_a_client(client))[row]))
        for key, size in sizes.items():
            if bit < 8 * size:
                raw = _bytes(message[key]).clone()
                raw[bit // 8] ^= 1 << (bit % 8)
                return message | {key: raw.view(message[key].dtype).reshape(message[key].shape)}
            bit -= 8 * size
        return message

    def _another(self, client: StageClient, row: int, key: str, value: Tensor) -> Tensor:
        if value.is_floating_point():
            return -value
        raw = _bytes(value)
        like = torch.zeros(len(client.number), len(raw), dtype=torch.float64, device=raw.device)
        drawn = (256 * client.draw("uniform", f"bytes of {key}", like)[row]).to(torch.uint8)
        return drawn.view(value.dtype).reshape(value.shape)


class ForeignMessages(TransitStage):
    """It works where the messages of all clients pass, just before the server, in the order in which they come."""

    def __init__(self, attack: TransitAttack):
        super().__init__(attack)
        self._before: tuple[Round, dict[str, Tensor]] | None = None  # the message that came last, and its round

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_before": None}

    def encode(self, client: StageClient, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        return wire, state

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        if not isinstance(sent.round, ServerRound) or not self.attack.is_active(sent.round.number):
            return wire  # the trial of the stages sends messages together and alone, and compares them
        messages = []
        for row, number in enumerate(sent.clients):
            message = {key: value[row] for key, value in wire.items()}
            round, before = self._before or (None, message)
            messages.append(before if round is sent.round and number in self.attack.malicious else message)
            self._before = (sent.round, message)
        return {key: _rows([message[key] for message in messages], value) for key, value in wire.items()}


def _rows(rows: list[Tensor], like: Any) -> Any:
    """As `joined_rows`; a list too where chunks have rows of several lengths."""
    return joined_rows(rows, like if len({row.shape for row in rows}) == 1 else rows)


def _bytes(value: Tensor) -> Tensor:
    """uint8 (B,)."""
    return value.contiguous().reshape(-1).view(torch.uint8) if value.numel() else value.new_empty(0, dtype=torch.uint8)


def _one_a_client(client: StageClient) -> Tensor:
    return torch.zeros(len(client.number), dtype=torch.float64, device=client.number.device)
