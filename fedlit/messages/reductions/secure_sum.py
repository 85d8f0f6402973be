"""The mean of messages under masks that cancel in their sum."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch

from fedlit.errors import InputError
from fedlit.messages.reductions.base import Reduced
from fedlit.messages.reductions.hidden_sum import HiddenSum, check_positive
from fedlit.messages.reductions.protocol import Asked, Kept, ProtocolClient
from fedlit.messages.reductions.rule import check_option
from fedlit.messages.secure.fixed_point import FixedPoint
from fedlit.messages.secure.installed import check_installed
from fedlit.messages.secure.keys import check_insecure_keys, warn_of_insecure_keys
from fedlit.messages.secure.masked_sum import Rules
from fedlit.messages.secure.masking_clients import MaskingClients
from fedlit.messages.secure.unmasking_server import UnmaskingServer
from fedlit.messages.secure.weighted_sums import WeightedSums
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout
from fedlit.plurals import counted


class SecureSum(HiddenSum):
    """The weighted mean, of which the server sees the masked sum only (Bonawitz et al. 2017, "Practical Secure
    Aggregation for Privacy-Preserving Machine Learning", figure 4, for clients and a server that follow the protocol).

    A client u turns its message x_u into integers modulo R = 2^bits, and sends

        y_u = x_u + PRG(b_u) + sum_{v > u} PRG(s_uv) - sum_{v < u} PRG(s_uv)  mod R,

    where b_u is a secret of its own and s_uv = s_vu one that it shares with client v. In the sum of all y_u the s_uv
    cancel. Trips of a round:

    1. Each client sends two public keys and the SHA-256 of b_u; the server hands all keys out.
    2. Each client cuts b_u and its private key into n shares, t of which are enough, and seals one for each
       other client; the server hands them on.
    3. Each client sends y_u.
    4. The server says whose y_u came. Of a client whose y_u came the others send their share of b_u, of a client whose
       y_u is missing that of its private key: never both. From t shares the server has what it must subtract.

    Clients may be lost in any trip, as long as t answer each; otherwise nothing is reduced, and the run warns. The
    private keys and b_u are new in each round. The server checks each secret that it puts together against the public
    key or the SHA-256. With more than t shares it does without wrong ones, if they are few: it tries 10,000 choices of
    t shares, which finds 5 wrong ones of 50. Public keys are not signed: an attacker who changes messages on their way
    could put others in their place, which TLS has to prevent.

    An entry is rounded to a multiple of the step, weighed by n_k, and divided by the sum of all n_k. The sum of the
    integers is exact. The step is the smallest power of two for which no sum of the cohort can leave R: with n clients,
    weights up to W = most_examples and entries up to `range`, about 2 n W range / R.

    Args:
        threshold: t as a share of the cohort; t is 2 or more.
        range, most_examples: see `HiddenSum`.
        precision: the largest step that is allowed. A run whose step is larger is refused, and a round whose step is
            larger reduces nothing.
        bits: 32, or 64 for a finer step with twice the bytes.
        insecure_keys: None, or "seed": keys from the run's seed, for debugging.
    """

    trips: ClassVar[int] = 4
    message_trip: ClassVar[int] = 3

    def __init__(
        self,
        threshold: float = 0.66,
        range: float = 8.0,
        precision: float = 1e-4,
        bits: int = 32,
        most_examples: int | None = None,
        insecure_keys: str | None = None,
    ):
        check_installed("reduction=secure", "cryptography", "secure")
        super().__init__(range, most_examples)
        check_insecure_keys(insecure_keys)
        check_positive("threshold", threshold)
        check_option("threshold", threshold, threshold <= 1, "a share above 0, up to 1")
        check_positive("precision", precision)
        check_option("bits", bits, bits in (32, 64), "32 or 64")
        self.precision, self.bits = precision, bits
        self.rules = Rules(threshold, bits)
        self.masking = MaskingClients(self.rules, insecure_keys)

    def setup(self, layout: Layout, clients: int) -> None:
        warn_of_insecure_keys(self.masking.insecure_keys, "reduction=secure")

    def check_sums(self, clients: int, sums: WeightedSums) -> None:
        try:
            step = self._ring(clients, sums).step
        except OverflowError:
            step = math.inf
        if step > self.precision:
            samples = f" of up to {counted(sums.most_examples, 'sample')}" if sums.by_examples else ""
            wider = (
                "reduction.bits=64, or a smaller reduction.range" if self.bits == 32 else "a smaller reduction.range"
            )
            raise InputError(
                f"reduction: SecureSum with range={self.range:g} and bits={self.bits} has a step of {step:.2g}"
                f" for {counted(clients, 'client')}{samples}, and precision={self.precision:g} allows less; write "
                f"{wider}, or a larger reduction.precision."
            )

    # --- the clients' half ------------------------------------------------------------------------
    def hide(self, client: ProtocolClient, sums: WeightedSums, wire: Wire) -> tuple[Wire, Kept]:
        ring = self._ring(len(client.round.cohort), sums)
        rows = [ring.words(integers) for integers in sums.integers(wire, client.examples, ring)]
        return self.masking.send_keys(client, torch.from_numpy(np.stack(rows).view(f"int{self.bits}")))

    def answer(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        trips = {2: self.masking.send_shares, 3: self.masking.send_masked, 4: self.masking.send_opened}
        return trips[client.trip](client, kept)

    # --- the server's half ------------------------------------------------------------------------
    def begin(self) -> None:
        super().begin()
        cohort = self.round.cohort
        if len(set(cohort)) < len(cohort):
            twice = next(client for client in cohort if cohort.count(client) > 1)
            raise InputError(
                f"reduction: the sampler chose client {twice} more than once in round {self.round.number}, and "
                "SecureSum needs different clients, because each has keys of its own; let the sampler choose without "
                "replacement, or write another reduction."
            )
        self._server = UnmaskingServer(self.rules, self.round)

    def add_hidden(self, clients: list[int], wire: Wire) -> None:
        self._server.add(clients, wire)

    def ask_hidden(self) -> Asked:
        return self._server.ask()

    def opened(self) -> Reduced | None:
        words = self._server.unmasked()
        if words is None:
            self.fault = self._server.fault
            return None
        ring = self._ring(len(self.round.cohort), self.sums)
        integers = ring.sums(words)
        values = integers * ring.step
        if self.sums.by_examples:
            values[-1] = integers[-1]  # the sum of all n_k
        return Reduced(self.sums.means(values, len(self._server.came)), report={"step": ring.step})

    def _ring(self, clients: int, sums: WeightedSums) -> FixedPoint:
        """The integers of a round, which clients and server know."""
        return FixedPoint.finest(self.bits, self.range, sums.largest_weight(clients))
