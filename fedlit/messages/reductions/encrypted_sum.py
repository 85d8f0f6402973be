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

SAME = 1e-9  # two decryptions of a sum differ by no more: floating-point arithmetic of two machines


class EncryptedSum(HiddenSum, ABC):
    """In the first trip each client sends its encrypted message; the server adds the ciphertexts. In the second one it
    sends the sum to some clients, which decrypt it and send the sum back.

    **All clients hold the same private key, the server has what adds.** The server sees the sum. It does not see a
    message, as long as no client gives it the key or decrypts anything but sums. A client that hears the wire can read
    the messages of others; TLS has to prevent that. Against a server that has a client on its side, use
    `reduction=secure`.

    **The client that decrypts is trusted to send the sum that it found.** The server cannot check the answer of a
    single one. With two `decryptors` or more it compares their answers, and reduces nothing where they differ. So one
    client that lies is noticed, and clients that agree on a wrong sum are not.

    The keys are made when the run starts, from the operating system's random bits, and are in no checkpoint. How the
    clients come to share one is left to the deployment.

    Args:
        range, most_examples: see `HiddenSum`.
        decryptors: clients that decrypt the sum. The answer of one is enough; where two differ, nothing is reduced.
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
        self._decrypted: dict[int, np.ndarray] = {}  # client -> the sum, as it says

    def add_hidden(self, clients: list[int], wire: Wire) -> None:
        if "sums" in wire:
            self._decrypted |= zip(clients, wire["sums"].cpu().numpy(), strict=True)
            return
        for row in wire["ciphertext"]:
            text = _text(row)
            self._sum = text if self._sum is None else self._cipher.added(self._sum, text)
        self._clients += clients

    def ask_hidden(self) -> Asked:
        if len(self._clients) < 2:
            self.fault = "1 message arrived, and the sum of a single one is this message"
            return Asked([])
        assert self._sum is not None
        size = sum(like.numel() for like in self._rows.values()) + int(self.sums.by_examples)
        return Asked(
            self._clients[: self.decryptors], {"ciphertext": as_rows([self._sum])[0], "size": torch.tensor(size)}
        )

    def opened(self) -> Reduced | None:
        if not self._decrypted:
            self.fault = "none of the clients that were asked has decrypted the sum"
            return None
        (first, sums), *others = self._decrypted.items()
        for other, of_other in others:
            if of_other.shape != sums.shape or not np.abs(of_other - sums).max(initial=0) <= SAME:
                self.fault = f"clients {first} and {other} have decrypted one sum to different numbers"
                return None
        values, count = self.values(sums), len(self._clients)
        return Reduced(self.sums.means(values, count), report=self.report(values, count))

    def report(self, sums: np.ndarray, count: int) -> dict[str, float]:
        """Numbers for the metrics, of the sums (L,) over `count` clients."""
        return {}


def _text(row: Tensor) -> bytes:
    return row.cpu().numpy().tobytes()
