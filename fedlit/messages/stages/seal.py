"""A seal on each message: the server refuses messages that were changed, repeated or swapped on the way."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlit.messages.secure.agreement import KEY, TAG, derived_key, sealed, unsealed
from fedlit.messages.secure.installed import check_installed
from fedlit.messages.secure.keys import check_insecure_keys, key_bytes, warn_of_insecure_keys
from fedlit.messages.secure.texts import as_rows
from fedlit.messages.sent import Sent
from fedlit.messages.stages.base import Place, Stage
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import SHAPE, Wire, joined_rows, without_elements
from fedlit.model_vectors import Layout
from fedlit.round import Round

NONCE = 12  # bytes


class Seal(Stage):
    """The whole message, encrypted and authenticated by AES-GCM (NIST SP 800-38D) with a key of 256 bits that a client
    shares with the server. The seal also holds the client, the round, the number of the key and the shapes of the
    tensors. A message that was changed, that is of another round or another client, or that was sealed with another key
    is refused: its client counts as lost, and the round goes on.

    `sealed` (K, 12 + B + 16) holds a random nonce, the B bytes of the message, and a tag.

    The keys are those of this start of the run: HKDF of 32 random bytes and the client's number. They are in no
    checkpoint; a resumed run has new ones, and messages of the start before are refused. How client and server come to
    share a key is left to the deployment. The server reads the messages: against the server use `reduction=secure`.

    Args:
        insecure_keys: None, or "seed": keys from the run's seed, for debugging.
    """

    place: ClassVar[Place] = "seal"
    decodes: ClassVar[bool] = True

    def __init__(self, insecure_keys: str | None = None):
        check_installed("uplink=[seal]", "cryptography", "secure")
        check_insecure_keys(insecure_keys)
        self.insecure_keys = insecure_keys
        self._master = b""

    def __repr__(self) -> str:
        return "Seal()"  # without keys

    def setup(self, layout: Layout, clients: int) -> None:
        self._master = os.urandom(KEY)
        warn_of_insecure_keys(self.insecure_keys, "uplink.seal")

    def bound(self, norm: float | None) -> float | None:
        return norm

    def encode(self, client: StageClient, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        boxes = []
        numbers = client.number[:, 0].tolist()
        for row, number in enumerate(numbers):
            tensors = {key: value[row] for key, value in wire.items()}
            text = b"".join(_bytes(t) for t in tensors.values())
            nonce = key_bytes(self.insecure_keys, client.round, number, "nonce")(NONCE)
            key, facts = self._key(client.round, number), self._facts(client.round, number, _header(tensors))
            boxes.append(as_rows([nonce + sealed(key, nonce, text, facts)])[0])
        shapes = {f"{key}{SHAPE}": without_elements(value) for key, value in wire.items()}
        one_length = len({len(box) for box in boxes}) == 1
        return {"sealed": torch.stack(boxes) if one_length else boxes} | shapes, state

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        likes = {key.removesuffix(SHAPE): value for key, value in wire.items() if key.endswith(SHAPE)}
        rows: list[dict[str, Tensor]] = []
        for row, number in enumerate(sent.clients):
            like = {key: value[row].new_zeros(value[row].shape[:-1]) for key, value in likes.items()}
            box = wire["sealed"][row].cpu().numpy().tobytes()
            key, facts = self._key(sent.round, number), self._facts(sent.round, number, _header(like))
            text = unsealed(key, box[:NONCE], box[NONCE:], facts) if len(box) >= NONCE + TAG else None
            if text is None:
                sent.refuse([row], "its seal does not fit: the message was changed, or is of another client or round")
            rows.append(like if text is None else _read(text, like))
        return {key: joined_rows([tensors[key] for tensors in rows], likes[key]) for key in likes}

    def _key(self, round: Round, client: int) -> bytes:
        master = self._master if self.insecure_keys is None else round.lasting_stream("seal").to_bytes(KEY, "big")
        return derived_key(master, f"fedlit seal of client {client}")

    def _facts(self, round: Round, client: int, header: str) -> bytes:
        key_number = derived_key(self._master, "fedlit key number")[:8].hex() if self.insecure_keys is None else "seed"
        return f"client {client}, round {round.number}, key {key_number}, {header}".encode()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def _header(tensors: dict[str, Tensor]) -> str:
    return json.dumps([[key, str(t.dtype), list(t.shape)] for key, t in tensors.items()])


def _read(text: bytes, like: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors, at = {}, 0
    for key, t in like.items():
        size = t.numel() * t.element_size()
        raw = (
            torch.frombuffer(bytearray(text[at : at + size]), dtype=torch.uint8)
            if size
            else torch.empty(0, dtype=torch.uint8)
        )
        tensors[key] = raw.view(t.dtype).reshape(t.shape).to(t.device)
        at += size
    return tensors
