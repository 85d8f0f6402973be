"""The server's half of a masked sum, trip by trip."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import random
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from fedlit.messages.reductions.protocol import Asked
from fedlit.messages.secure import shamir
from fedlit.messages.secure.agreement import KEY, mask, public_key
from fedlit.messages.secure.masked_sum import MISSING, Rules, add_masks, common_keys, for_masks, point
from fedlit.messages.secure.texts import as_bytes, as_rows
from fedlit.messages.wire import Wire
from fedlit.plurals import counted
from fedlit.server_round import ServerRound

log = logging.getLogger(__name__)

MOST_TRIES = 10_000  # choices of shares that the server tries where some are wrong


class UnmaskingServer:
    """
    Attributes:
        trip: whose messages are added, from 1.
        came: the clients whose masked messages came.
        fault: why there is no sum; empty as long as there may be one.
    """

    def __init__(self, rules: Rules, round: ServerRound):
        self.rules, self.round = rules, round
        self.trip, self.fault = 1, ""
        self.came: list[int] = []
        self._public: dict[int, bytes] = {}
        self._commitments: dict[int, bytes] = {}
        self._boxes: dict[int, Tensor] = {}
        self._asked: list[int] = []  # for their masked messages
        self._sum: np.ndarray | None = None
        self._opened: dict[int, list[bytes]] = {}  # client -> its shares, one of each client that was asked

    def add(self, clients: list[int], wire: Wire) -> None:
        if self.trip == 1:
            self._public |= zip(clients, as_bytes(wire["public"]), strict=True)
            self._commitments |= zip(clients, as_bytes(wire["commitment"]), strict=True)
        elif self.trip == 2:
            self._boxes |= zip(clients, wire["boxes"], strict=True)
        elif self.trip == 3:
            for words in self.rules.words(wire["masked"]):
                self._sum = words.copy() if self._sum is None else np.add(self._sum, words, out=self._sum)
            self.came += clients
        else:
            self._opened |= zip(clients, map(as_bytes, wire["shares"]), strict=True)

    def ask(self) -> Asked:
        """What the clients receive for the next trip; nobody is asked if too few have answered."""
        answered = [list(self._public), list(self._boxes), self.came][self.trip - 1]
        if not self._are_enough(answered):
            return Asked([])
        self.trip += 1
        to_all = {"clients": torch.tensor(answered)}
        if self.trip == 2:
            return Asked(answered, to_all | {"public": as_rows([self._public[client] for client in answered])})
        if self.trip == 3:
            self._asked = answered
            return Asked(answered, to_all, {"boxes": self._boxes_by_receiver()})
        return Asked(answered, to_all)

    def _boxes_by_receiver(self) -> Tensor:
        """(K, K - 1, BOX): for each client that has sent boxes, those of the others. A client sent them in the order of
        the keys, without one for itself."""
        place = {client: i for i, client in enumerate(self._public)}

        def box(sender: int, receiver: int) -> Tensor:
            return self._boxes[sender][place[receiver] - (place[receiver] > place[sender])]

        receivers = list(self._boxes)
        boxes = [
            torch.stack([box(sender, receiver) for sender in receivers if sender != receiver]) for receiver in receivers
        ]
        self._boxes = {}
        return torch.stack(boxes)

    def unmasked(self) -> np.ndarray | None:
        """The sum of the messages (L,), in words; None where there is none, with the reason in `fault`."""
        if self.fault or not self._are_enough(list(self._opened)):
            return None
        secrets = self._secrets()
        if secrets is None or self._sum is None:
            self.fault = "the shares do not give the secrets back, because too many of them are wrong"
            return None
        words = self._sum
        for client, secret in secrets.items():
            if client in self.came:
                words -= mask(secret, len(words), words.dtype)
            else:  # the masks that it has in common with the others, with the sign turned
                public = {other: for_masks(self._public[other]) for other in self.came}
                add_masks(words, common_keys(client, secret, public, "mask"), client)
        return words

    def _secrets(self) -> dict[int, bytes] | None:
        """client -> its b if its message came, or else its private key for masks."""
        secrets: dict[int, bytes] = {}
        wrong: set[int] = set()
        for i, client in enumerate(self._asked):
            parts = {
                point(sender): int.from_bytes(shares[i], "big")
                for sender, shares in self._opened.items()
                if shares[i] != MISSING and point(sender) not in wrong
            }
            secret = self._secret(parts, self._is_b(client) if client in self.came else self._is_private_key(client))
            if secret is None:
                return None
            secrets[client], of_others = secret
            wrong |= of_others
        if wrong:
            senders = ", ".join(str(sender) for sender in sorted(self._opened) if point(sender) in wrong)
            log.warning(
                "round %d: wrong shares came from %s, %s; the sum does without them",
                self.round.number,
                counted(len(wrong), "client"),
                senders,
            )
        return secrets

    def _is_b(self, client: int) -> Callable[[bytes], bool]:
        return lambda secret: hashlib.sha256(secret).digest() == self._commitments[client]

    def _is_private_key(self, client: int) -> Callable[[bytes], bool]:
        return lambda secret: public_key(secret) == for_masks(self._public[client])

    def _secret(self, parts: dict[int, int], is_right: Callable[[bytes], bool]) -> tuple[bytes, set[int]] | None:
        """A secret that is right, and the points whose shares are not on its polynomial; None if no choice of shares
        that was tried gives one."""
        for chosen in _choices(list(parts), self.rules.enough(self.round)):
            value = shamir.secret({x: parts[x] for x in chosen})
            if value < 256**KEY and is_right(value.to_bytes(KEY, "big")):
                wrong = {
                    x for x in parts if x not in chosen and not _is_on(value, {y: parts[y] for y in (*chosen[1:], x)})
                }
                return value.to_bytes(KEY, "big"), wrong
        return None

    def _are_enough(self, answered: list[int]) -> bool:
        enough = self.rules.enough(self.round)
        if len(answered) < enough:
            self.fault = f"{counted(len(answered), 'client')} answered in trip {self.trip}, and it needs {enough}"
        return len(answered) >= enough


def _choices(points: list[int], enough: int) -> Iterator[tuple[int, ...]]:
    """All choices of `enough` points if there are few, else choices at random: in their order, a wrong share at the
    first point would be in all those that are tried."""
    if math.comb(len(points), enough) <= MOST_TRIES:
        yield from itertools.combinations(points, enough)
        return
    yield tuple(points[:enough])  # the same for every secret, if all shares are right
    rng = random.Random(0)
    for _ in range(MOST_TRIES):
        yield tuple(rng.sample(points, enough))


def _is_on(secret: int, parts: dict[int, int]) -> bool:
    """Whether the polynomial through these shares has the secret: one of them is wrong otherwise."""
    return shamir.secret(parts) == secret
