"""The clients' half of a masked sum, trip by trip."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedlit.messages.reductions.protocol import Kept, ProtocolClient
from fedlit.messages.secure import shamir
from fedlit.messages.secure.agreement import KEY, mask, public_key, sealed, unsealed
from fedlit.messages.secure.keys import key_bytes
from fedlit.messages.secure.masked_sum import (
    BOX,
    MISSING,
    Rules,
    add_masks,
    common_keys,
    facts,
    for_boxes,
    for_masks,
    nonce,
    points,
)
from fedlit.messages.secure.texts import as_bytes, as_rows
from fedlit.messages.wire import Wire
from fedlit.plurals import counted


@dataclass(frozen=True)
class MaskingClients:
    """K clients. Each method is a trip: it gives what they send and what they keep, (K, ...)."""

    rules: Rules
    insecure_keys: str | None

    def send_keys(self, client: ProtocolClient, words: Tensor) -> tuple[Wire, Kept]:
        """Trip 1: two public keys, and the SHA-256 of b.

        Args:
            words: (K, L), the messages.
        """
        private, public, b = [], [], []
        for number in client.clients:
            secrets = key_bytes(self.insecure_keys, client.round, number, "secrets")(3 * KEY)
            private.append(secrets[: 2 * KEY])
            public.append(public_key(secrets[:KEY]) + public_key(secrets[KEY : 2 * KEY]))
            b.append(secrets[2 * KEY :])
        commitments = [hashlib.sha256(secret).digest() for secret in b]
        sent = {"public": as_rows(public), "commitment": as_rows(commitments)}
        return sent, {"words": words, "private": as_rows(private), "b": as_rows(b)}

    def send_shares(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        """Trip 2: for every other client a box with its shares of the private key for masks and of b."""
        clients, rows = client.received["clients"].tolist(), as_bytes(client.received["public"])
        public = {other: for_boxes(keys) for other, keys in zip(clients, rows, strict=True)}
        boxes, kept_shares, box_keys = [], [], []
        for number, private, b in zip(client.clients, as_bytes(kept["private"]), as_bytes(kept["b"]), strict=True):
            texts = self._shares(client, number, clients, [for_masks(private), b])
            kept_shares.append(texts.pop(number))
            keys = common_keys(number, for_boxes(private), public, "shares")
            box_keys.append(b"".join(keys.values()))
            for other, text in texts.items():
                boxes.append(sealed(keys[other], nonce(number, other), text, facts(client.round, number, other)))
        k = len(client.clients)
        known = {name: value.expand(k, *value.shape) for name, value in client.received.items()}
        secrets = {"shares": as_rows(kept_shares), "box_keys": as_rows(box_keys)}
        return {"boxes": as_rows(boxes).reshape(k, len(clients) - 1, BOX)}, kept | known | secrets

    def _shares(
        self, client: ProtocolClient, number: int, clients: list[int], secrets: list[bytes]
    ) -> dict[int, bytes]:
        """client -> its shares of the secrets, one after the other."""
        draw = key_bytes(self.insecure_keys, client.round, number, "shares")
        at, enough = points(clients), self.rules.enough(client.round)
        shares = [shamir.shares(int.from_bytes(secret, "big"), at, enough, draw) for secret in secrets]
        return {
            other: b"".join(share.to_bytes(shamir.SIZE, "big") for share in of_client)
            for other, of_client in zip(clients, zip(*shares, strict=True), strict=True)
        }

    def send_masked(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        """Trip 3: the messages under their masks."""
        asked, keys_of = client.received["clients"], _by_client(kept["clients"][0], kept["public"][0])
        public = {other: for_masks(keys_of[other]) for other in asked.tolist()}
        rows = []
        for number, private, b, words in zip(
            client.clients, as_bytes(kept["private"]), as_bytes(kept["b"]), self.rules.words(kept["words"]), strict=True
        ):
            masked = words + mask(b, len(words), words.dtype)
            add_masks(masked, common_keys(number, for_masks(private), public, "mask"), number)
            rows.append(torch.from_numpy(masked.view(f"int{self.rules.bits}")))
        rest = {name: kept[name] for name in ("clients", "shares", "box_keys")}
        received = {"asked": asked.expand(len(rows), -1), "boxes": client.received_each["boxes"]}
        return {"masked": torch.stack(rows)}, rest | received

    def send_opened(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        """Trip 4: of each client one share, of b where its message came, of its private key where it did not."""
        came, asked = set(client.received["clients"].tolist()), kept["asked"][0].tolist()
        k, known = len(client.clients), kept["clients"][0].tolist()
        if len(came) < self.rules.enough(client.round) or not came <= set(asked):
            client.refuse(
                range(k),
                f"the server says that the messages of {counted(len(came), 'client')} came, which are fewer than the "
                "threshold or not all among those that it asked, and this client opens no share",
            )
            return {"shares": torch.zeros(k, len(asked), shamir.SIZE, dtype=torch.uint8)}, {}
        opened = []
        for number, shares, box_keys, boxes in zip(
            client.clients, as_bytes(kept["shares"]), kept["box_keys"], kept["boxes"], strict=True
        ):
            keys = _by_client([other for other in known if other != number], box_keys.reshape(-1, KEY))
            texts: dict[int, bytes | None] = {number: shares}
            for other, box in _by_client([other for other in asked if other != number], boxes).items():
                texts[other] = unsealed(keys[other], nonce(other, number), box, facts(client.round, other, number))
            opened.append(b"".join(_one_share(texts[other], of_b=other in came) for other in asked))
        return {"shares": as_rows(opened).reshape(k, len(asked), shamir.SIZE)}, {}


def _one_share(text: bytes | None, of_b: bool) -> bytes:
    if text is None:
        return MISSING
    return text[shamir.SIZE :] if of_b else text[: shamir.SIZE]


def _by_client(clients: Any, rows: Tensor) -> dict[int, bytes]:
    return {int(client): row for client, row in zip(clients, as_bytes(rows), strict=True)}
