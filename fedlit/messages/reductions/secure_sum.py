"""The mean of messages that nobody but their clients can read."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions.base import Reduced
from fedlit.messages.reductions.protocol import Asked, Kept, Protocol, ProtocolClient
from fedlit.messages.reductions.rule import check_option
from fedlit.messages.secure.agreement import check_cryptography
from fedlit.messages.secure.fixed_point import FixedPoint
from fedlit.messages.secure.keys import check_insecure_keys
from fedlit.messages.secure.masked_sum import Rules
from fedlit.messages.secure.masking_clients import MaskingClients
from fedlit.messages.secure.unmasking_server import UnmaskingServer
from fedlit.messages.secure.weighted_sums import WeightedSums
from fedlit.messages.wire import Wire
from fedlit.plurals import counted

log = logging.getLogger(__name__)

SHAPE = ".shape"  # after a key: a tensor without bytes that has the shape of the key's rows


class SecureSum(Protocol):
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
    key or the SHA-256; with more than t shares it finds wrong ones and does without them.

    The message counts as in `Mean`: an entry is rounded to a multiple of the step, weighed by n_k, and divided by the
    sum of all n_k, which travels under the mask too. The sum of the integers is exact. The step is the smallest power
    of two for which no sum of the cohort can leave R: with n clients, weights up to W and entries up to `range`, about
    2 n W range / R. An entry beyond the range is never clipped: its client sends nothing and is lost.

    Args:
        threshold: t as a share of the cohort; t is 2 or more.
        range: the largest absolute value of an entry of a message.
        precision: the largest step that is allowed. A run whose step is larger is refused.
        bits: 32, or 64 for a finer step with twice the bytes.
        most_examples: W, the most training samples of a client; a client with more is lost. None: the largest number
            among the federation's clients. It is public.
        insecure_keys: None, or "seed": keys from the run's seed, for debugging.
    """

    blind: ClassVar[bool] = True
    weighs_by_messages: ClassVar[bool] = True
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
        check_cryptography("reduction=secure")
        check_insecure_keys(insecure_keys)
        check_option("threshold", threshold, _is_number(threshold) and 0 < threshold <= 1, "a share above 0, up to 1")
        check_option("range", range, _is_number(range) and range > 0, "a finite number above 0")
        check_option("precision", precision, _is_number(precision) and precision > 0, "a finite number above 0")
        check_option("bits", bits, bits in (32, 64), "32 or 64")
        whole = isinstance(most_examples, int) and not isinstance(most_examples, bool) and most_examples > 0
        check_option(
            "most_examples", most_examples, most_examples is None or whole, "an integer of at least 1, or null"
        )
        self.range, self.precision, self.bits = range, precision, bits
        self.most_examples = most_examples
        self.rules = Rules(threshold, bits)
        self.masking = MaskingClients(self.rules, insecure_keys)

    # --- before the run ---------------------------------------------------------------------------
    def check(self, plan: MessagePlan) -> None:
        n = math.ceil(plan.expected)
        if plan.expected < 2:
            raise InputError(
                f"reduction: SecureSum adds the messages of 2 clients or more, and a round has {plan.expected:g} of "
                "them; the sum of a single client is its message. Ask more clients, or write reduction=mean."
            )
        if self.most_examples is None:
            self.most_examples = plan.most_examples
        sums = WeightedSums(plan.weighting, plan.message)
        try:
            step = self._ring(n, sums).step
        except OverflowError:
            step = math.inf
        if step > self.precision:
            samples = f" of up to {counted(self.most_examples, 'sample')}" if sums.by_examples else ""
            wider = (
                "write reduction.bits=64, or a smaller reduction.range" if self.bits == 32 else "write a smaller range"
            )
            raise InputError(
                f"reduction: SecureSum with range={self.range:g} and bits={self.bits} rounds to multiples of {step:.2g}"
                f" for {counted(n, 'client')}{samples}, and precision={self.precision:g} allows less; {wider}, or a "
                f"larger reduction.precision."
            )

    # --- the clients' half ------------------------------------------------------------------------
    def first(self, client: ProtocolClient, wire: Wire, weighting: Mapping[str, str]) -> tuple[Wire, Kept]:
        sums = WeightedSums(weighting, {key: value[0] for key, value in wire.items()})
        ring = self._ring(len(client.round.cohort), sums)
        integers, refusals = sums.integers(wire, client.examples, ring, self.range, self.most_examples or 0)
        for row, why in refusals.items():
            client.refuse([row], f"{why}, and its message is not sent")
        words = torch.from_numpy(ring.words(integers).view(f"int{self.bits}"))
        sent, kept = self.masking.send_keys(client, words)
        return sent | {f"{key}{SHAPE}": value.new_empty(*value.shape, 0) for key, value in wire.items()}, kept

    def answer(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        trips = {2: self.masking.send_shares, 3: self.masking.send_masked, 4: self.masking.send_opened}
        return trips[client.trip](client, kept)

    # --- the server's half ------------------------------------------------------------------------
    def begin(self) -> None:
        self._server = UnmaskingServer(self.rules, self.round)
        self._rows: dict[str, Tensor] = {}  # key -> a tensor like one client's row

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        if self._server.trip == 1:
            shapes = {key.removesuffix(SHAPE): value for key, value in wire.items() if key.endswith(SHAPE)}
            self._rows = {key: value.new_empty(value.shape[1:-1]) for key, value in shapes.items()}
        self._server.add(clients, wire)

    def ask(self) -> Asked:
        return self._server.ask()

    def finish(self) -> Reduced:
        if not self._rows:
            return Reduced({})
        words = self._server.unmasked()
        if words is None:
            log.warning(
                "round %d: SecureSum reduces nothing, and the server keeps its state: %s",
                self.round.number,
                self._server.fault,
            )
            return Reduced({})
        sums = WeightedSums(self.weighting, self._rows)
        ring = self._ring(len(self.round.cohort), sums)
        return Reduced(sums.means(ring.sums(words), len(self._server.came), ring), report={"step": ring.step})

    def _ring(self, clients: int, sums: WeightedSums) -> FixedPoint:
        """The integers of a round, which clients and server know."""
        return FixedPoint.finest(self.bits, self.range, sums.largest_weight(clients, self.most_examples or 1))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
