"""What the sums of ciphertexts share: the server adds them, and clients decrypt the sum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fedlit.messages.reductions.base import Reduced
from fedlit.messages.reductions.hidden_sum import HiddenSum
from fedlit.messages.reductions.protocol import Asked, Kept, ProtocolClient
from fedlit.messages.reductions.rule import check_count
from fedlit.messages.secure.ciphers import KeyHolder
from fedlit.messages.secure.texts import as_rows
from fedlit.messages.secure.weighted_sums import WeightedSums
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout


class EncryptedSum(HiddenSum, ABC):
    """In the first trip each client sends its encrypted message; the server adds the ciphertexts. In the second one it
    sends the sum to some clients, which decrypt it and send the sum back.

    **All clients hold the same private key, the server has what adds.** The server sees the sum. It does not see a
    message, as long as no client gives it the key or decrypts anything but sums. A client that hears the wire can read
    the messages of others; TLS has to prevent that. Against a server that has a client on its side, use
    `reduction=secure`.

    The keys are made when the run starts, from the operating system's random bits, and are in no checkpoint. How the
    clients come to share one is left to the deployment.

    Args:
        range, most_examples: see `HiddenSum`.
        decryptors: clients that decrypt the sum; the answer of one is enough.
    """

    trips: ClassVar[int] = 2

    def __init__(self, range: float, most_examples: int | None, decryptors: int):
        super().__init__(range, most_examples)
        check_count("decryptors", decryptors, low=1)
        self.decryptors = decryptors
        self.key_holder: KeyHolder | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # without keys

    def setup(self, layout: Layout, clients: int) -> None:
        self.key_holder = self.new_keys()

    @abstractmethod
    def new_keys(self) -> KeyHolder:
        """Keys that all clients share."""

    @abstractmethod
    def vectors(self, sums: WeightedSums, client: ProtocolClient, wire: Wire) -> np.ndarray:
        """The vectors (K, L) of the messages, as they are encrypted."""

    @abstractmethod
    def values(self, vector: np.ndarray) -> np.ndarray:
        """The sums (L,), float64, as `WeightedSums.means` wants them, of the decrypted ones."""

    # --- the clients' half ------------------------------------------------------------------------
    def hide(self, client: ProtocolClient, sums: WeightedSums, wire: Wire) -> tuple[Wire, Kept]:
        assert self.key_holder is not None
        texts = [self.key_holder.encrypted(vector) for vector in self.vectors(sums, client, wire)]
        boxes: Any = [as_rows([text])[0] for text in texts]
        return {"ciphertext": torch.stack(boxes) if len(set(map(len, texts))) == 1 else boxes}, {}

    def answer(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        assert self.key_holder is not None
        size = int(client.received["size"])
        vector = torch.from_numpy(self.key_holder.decrypted(_text(client.received["ciphertext"]), size))
        return {"sums": vector.expand(len(client.number), -1)}, {}

    # --- the server's half ------------------------------------------------------------------------
    def begin(self) -> None:
        super().begin()
        assert self.key_holder is not None
        self._cipher, self.key_holder = self.key_holder.cipher, None
        self._clients: list[int] = []
        self._sum: bytes | None = None
        self._opened: np.ndarray | None = None

    def add_hidden(self, clients: list[int], wire: Wire) -> None:
        if "sums" in wire:
            self._opened = wire["sums"][0].cpu().numpy()
            return
        for row in wire["ciphertext"]:
            text = _text(row)
            self._sum = text if self._sum is None else self._cipher.added(self._sum, text)
        self._clients += clients

    def ask(self) -> Asked:
        if len(self._clients) < 2:
            return Asked([])
        assert self._sum is not None
        size = sum(like.numel() for like in self._rows.values()) + int(self.sums.by_examples)
        return Asked(
            self._clients[: self.decryptors], {"ciphertext": as_rows([self._sum])[0], "size": torch.tensor(size)}
        )

    def finish(self) -> Reduced:
        if not self._clients:
            return Reduced({})
        if len(self._clients) < 2:
            return self.nothing("1 message arrived, and the sum of a single one is this message")
        if self._opened is None:
            return self.nothing("none of the clients that were asked has decrypted the sum")
        return Reduced(self.sums.means(self.values(self._opened), len(self._clients)))


def _text(row: Tensor) -> bytes:
    return row.cpu().numpy().tobytes()
