"""The mean of messages that nobody but their clients can read."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions.base import Reduced
from fedlit.messages.reductions.protocol import Asked, Kept, Protocol, ProtocolClient
from fedlit.messages.reductions.rule import check_option
from fedlit.messages.secure import shamir
from fedlit.messages.secure.agreement import (
    KEY,
    TAG,
    check_cryptography,
    mask,
    public_key,
    sealed,
    shared_key,
    unsealed,
)
from fedlit.messages.secure.fixed_point import FixedPoint
from fedlit.messages.secure.keys import check_insecure_keys, key_bytes
from fedlit.messages.secure.weighted_sums import WeightedSums
from fedlit.messages.wire import Wire
from fedlit.plurals import counted
from fedlit.round import Round

log = logging.getLogger(__name__)

BOX = 2 * shamir.SIZE + TAG  # bytes of two shares, sealed
SHAPE = ".shape"  # after a key: a tensor without bytes that has the shape of the key's rows
MISSING = b"\xff" * shamir.SIZE  # in place of a share that could not be opened; no share is that large
MOST_TRIES = 10_000  # choices of shares that the server tries where some are wrong


class SecureSum(Protocol):
    """The weighted mean, of which the server sees the masked sum only (Bonawitz et al. 2017, "Practical Secure
    Aggregation for Privacy-Preserving Machine Learning", figure 4, for clients and a server that follow the protocol).

    A client u turns its message x_u into integers modulo R = 2^bits, and sends

        y_u = x_u + PRG(b_u) + sum_{v > u} PRG(s_uv) - sum_{v < u} PRG(s_uv)  mod R,

    where b_u is a secret of its own and s_uv = s_vu one that it shares with client v. In the sum of all y_u the s_uv
    cancel. Trips of a round:

    1. Each client sends two public keys and the SHA-256 of b_u; the server hands all keys out.
    2. Each client cuts b_u and its private key into n - 1 + 1 shares, t of which are enough, and seals one for each
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
        self.threshold, self.range, self.precision, self.bits = threshold, range, precision, bits
        self.most_examples, self.insecure_keys = most_examples, insecure_keys

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
                f"reduction: SecureSum with range={self.range:g} and bits={self.bits} rounds to multiples of {step:.2g} "
                f"for {counted(n, 'client')}{samples}, and precision={self.precision:g} allows less; {wider}, or a "
                f"larger reduction.precision."
            )

    # --- the client's half ------------------------------------------------------------------------
    def first(self, client: ProtocolClient, wire: Wire, weighting: Mapping[str, str]) -> tuple[Wire, Kept]:
        sums = WeightedSums(weighting, {key: value[0] for key, value in wire.items()})
        ring = self._ring(len(client.round.cohort), sums)
        integers, refusals = sums.integers(wire, client.examples, ring, self.range, self.most_examples or 0)
        words = torch.from_numpy(ring.words(integers).view(f"int{self.bits}"))
        for row, why in refusals.items():
            client.refuse([row], f"{why}, and its message is not sent")
        private, public, b = [], [], []
        for number in client.clients:
            draw = key_bytes(self.insecure_keys, client.round, number, "secrets")
            secrets = draw(3 * KEY)
            private.append(secrets[: 2 * KEY])
            public.append(public_key(secrets[:KEY]) + public_key(secrets[KEY : 2 * KEY]))
            b.append(secrets[2 * KEY :])
        sent = {"public": _rows(public), "commitment": _rows([hashlib.sha256(secret).digest() for secret in b])}
        shapes = {f"{key}{SHAPE}": value.new_empty(*value.shape, 0) for key, value in wire.items()}
        return sent | shapes, {"words": words, "private": _rows(private), "b": _rows(b)}

    def answer(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        return {2: self._share, 3: self._masked, 4: self._opened}[client.trip](client, kept)

    def _share(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        """Trip 2: shares of both secrets for every client, sealed."""
        clients, public = client.received["clients"].tolist(), client.received["public"]
        threshold = self._threshold(client.round)
        boxes, own_shares, box_keys = [], [], []
        for number, private, b in zip(client.clients, _bytes(kept["private"]), _bytes(kept["b"]), strict=True):
            draw = key_bytes(self.insecure_keys, client.round, number, "shares")
            points = [_point(other) for other in clients]
            of_private, of_b = (
                shamir.shares(int.from_bytes(secret, "big"), points, threshold, draw) for secret in (private[KEY:], b)
            )
            texts = {
                other: _share_bytes(first) + _share_bytes(second)
                for other, first, second in zip(clients, of_private, of_b, strict=True)
            }
            own_shares.append(texts.pop(number))
            keys = self._keys(private[:KEY], clients, public[:, :KEY], "shares", number)
            box_keys.append(b"".join(keys.values()))
            boxes.append(
                b"".join(
                    sealed(keys[other], _nonce(number, other), text, _facts(client.round, number, other))
                    for other, text in texts.items()
                )
            )
        k = len(boxes)
        sent = {"boxes": _rows(boxes).reshape(k, len(clients) - 1, BOX)}
        known = {"clients": _repeated(client.received["clients"], k), "public": _repeated(public[:, KEY:], k)}
        return sent, kept | known | {"own_shares": _rows(own_shares), "box_keys": _rows(box_keys)}

    def _masked(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        """Trip 3: the message under its masks."""
        asked, known = client.received["clients"].tolist(), kept["clients"][0].tolist()
        place = [known.index(other) for other in asked]
        public, rows = kept["public"][0][place], []
        for number, private, b, words in zip(
            client.clients, _bytes(kept["private"]), _bytes(kept["b"]), self._words_of(kept["words"]), strict=True
        ):
            masked = words + mask(b, len(words), words.dtype)
            _add_masks(masked, self._keys(private[KEY:], asked, public, "mask", number), number)
            rows.append(torch.from_numpy(masked.view(f"int{self.bits}")))
        rest = {name: value for name, value in kept.items() if name != "words"}
        asked_rows = _repeated(client.received["clients"], len(rows))
        return {"masked": torch.stack(rows)}, rest | {"asked": asked_rows, "boxes": client.received_each["boxes"]}

    def _opened(self, client: ProtocolClient, kept: Kept) -> tuple[Wire, Kept]:
        """Trip 4: of each client one share, of b where its message came, of its private key where it did not."""
        came = set(client.received["clients"].tolist())
        asked, known = kept["asked"][0].tolist(), kept["clients"][0].tolist()
        k = len(client.clients)
        if len(came) < self._threshold(client.round) or not came <= set(asked):
            client.refuse(
                range(k),
                f"the server names {counted(len(came), 'client')} whose messages came, which is below the threshold or "
                "not among those that it asked, and this client opens no share",
            )
            return {"shares": torch.zeros(k, len(asked), shamir.SIZE, dtype=torch.uint8)}, {}
        opened = []
        for number, own, box_keys, boxes in zip(
            client.clients, _bytes(kept["own_shares"]), kept["box_keys"], kept["boxes"], strict=True
        ):
            keys = dict(
                zip([other for other in known if other != number], _bytes(box_keys.reshape(-1, KEY)), strict=True)
            )
            texts: dict[int, bytes | None] = {number: own}
            for other, box in zip([other for other in asked if other != number], _bytes(boxes), strict=True):
                facts = _facts(client.round, other, number)
                texts[other] = unsealed(keys[other], _nonce(other, number), box, facts)
            opened.append(b"".join(_half(texts[other], of_b=other in came) for other in asked))
        return {"shares": _rows(opened).reshape(k, len(asked), shamir.SIZE)}, {}

    # --- the server's half ------------------------------------------------------------------------
    def begin(self) -> None:
        self._trip = 1
        self._public: dict[int, bytes] = {}
        self._commitments: dict[int, bytes] = {}
        self._shapes: dict[str, Tensor] = {}
        self._boxes: dict[int, Tensor] = {}
        self._words: np.ndarray | None = None
        self._came: list[int] = []
        self._asked: list[int] = []  # in trip 3
        self._shares: dict[int, list[bytes]] = {}
        self._too_few = ""

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> None:
        if self._trip == 1:
            self._public |= dict(zip(clients, _bytes(wire["public"]), strict=True))
            self._commitments |= dict(zip(clients, _bytes(wire["commitment"]), strict=True))
            self._shapes = {key.removesuffix(SHAPE): v[0] for key, v in wire.items() if key.endswith(SHAPE)}
        elif self._trip == 2:
            self._boxes |= dict(zip(clients, wire["boxes"], strict=True))
        elif self._trip == 3:
            for row in self._words_of(wire["masked"]):
                self._words = row.copy() if self._words is None else np.add(self._words, row, out=self._words)
            self._came += clients
        else:
            for client, row in zip(clients, wire["shares"], strict=True):
                self._shares[client] = _bytes(row)

    def ask(self) -> Asked:
        answered = [list(self._public), list(self._boxes), self._came][self._trip - 1]
        if not self._are_enough(len(answered)):
            return Asked([])
        self._trip += 1
        clients = torch.tensor(answered)
        if self._trip == 2:
            return Asked(answered, {"clients": clients, "public": _rows([self._public[c] for c in answered])})
        if self._trip == 3:
            self._asked = answered
            place = {client: i for i, client in enumerate(self._public)}

            def box(sender: int, receiver: int) -> Tensor:
                """A client's boxes are in the order of the keys, without one for itself."""
                return self._boxes[sender][place[receiver] - (place[receiver] > place[sender])]

            boxes = [torch.stack([box(other, c) for other in answered if other != c]) for c in answered]
            self._boxes = {}
            return Asked(answered, {"clients": clients}, {"boxes": torch.stack(boxes)})
        return Asked(answered, {"clients": clients})

    def finish(self) -> Reduced:
        if not self._public:
            return Reduced({})
        if self._trip == 4 and not self._too_few:
            self._are_enough(len(self._shares))
        if self._too_few:
            return self._nothing(self._too_few)
        assert self._words is not None
        secrets = self._secrets()
        if secrets is None:
            return self._nothing("the shares do not give the secrets back, because too many of them are wrong")
        words, dtype = self._words, self._words.dtype
        for client, secret in secrets.items():
            if client in set(self._came):
                words -= mask(secret, len(words), dtype)
                continue
            public = _rows([self._public[c][KEY:] for c in self._came])
            keys = self._keys(secret, self._came, public, "mask", client)
            _add_masks(words, keys, client)  # what the others have added for it, with the sign turned
        sums = WeightedSums(self.weighting, {key: t.new_empty(t.shape[:-1]) for key, t in self._shapes.items()})
        ring = self._ring(len(self.round.cohort), sums)
        return Reduced(sums.means(ring.sums(words), len(self._came), ring), report={"step": ring.step})

    def _secrets(self) -> dict[int, bytes] | None:
        """For each client of trip 3 its b, where its message came, or else its private key; None if the shares are too
        wrong."""
        secrets: dict[int, bytes] = {}
        wrong: set[int] = set()
        for i, client in enumerate(self._asked):
            by_client = {c: rows[i] for c, rows in self._shares.items() if rows[i] != MISSING}
            came = client in set(self._came)

            def is_right(secret: bytes, client: int = client, came: bool = came) -> bool:
                if came:
                    return hashlib.sha256(secret).digest() == self._commitments[client]
                return public_key(secret) == self._public[client][KEY:]

            parts = {_point(c): int.from_bytes(share, "big") for c, share in by_client.items() if c not in wrong}
            secret = _tried(parts, self._threshold(self.round), is_right)
            if secret is None:
                return None
            secrets[client], wrong_points = secret
            wrong |= {point - 1 for point in wrong_points}
        if wrong:
            log.warning(
                "round %d: wrong shares came from %s %s; the sum does without them",
                self.round.number,
                "client" if len(wrong) == 1 else "clients",
                ", ".join(map(str, sorted(wrong))),
            )
        return secrets

    def _are_enough(self, answers: int) -> bool:
        threshold = self._threshold(self.round)
        if answers >= threshold:
            return True
        self._too_few = f"{counted(answers, 'client')} answered in trip {self._trip}, and it needs {threshold}"
        return False

    def _nothing(self, reason: str) -> Reduced:
        log.warning(
            "round %d: SecureSum reduces nothing, and the server keeps its state: %s", self.round.number, reason
        )
        return Reduced({})

    # --- both halves ------------------------------------------------------------------------------
    def _ring(self, clients: int, sums: WeightedSums) -> FixedPoint:
        return FixedPoint.finest(self.bits, self.range, sums.largest_weight(clients, self.most_examples or 1))

    def _words_of(self, sent: Tensor) -> np.ndarray:
        return sent.cpu().numpy().view(f"uint{self.bits}")

    def _threshold(self, round: Round) -> int:
        return max(2, math.ceil(self.threshold * len(round.cohort)))

    def _keys(self, private: bytes, clients: list[int], public: Tensor, purpose: str, me: int) -> dict[int, bytes]:
        """The key that a client has in common with each other one."""
        return {
            other: shared_key(private, key, f"fedlit {purpose}")
            for other, key in zip(clients, _bytes(public), strict=True)
            if other != me
        }


def _add_masks(words: np.ndarray, keys: Mapping[int, bytes], me: int) -> None:
    """Add what client `me` adds for the others, in place."""
    for other, key in keys.items():
        change = np.add if me < other else np.subtract
        change(words, mask(key, len(words), words.dtype), out=words)


def _tried(parts: dict[int, int], threshold: int, is_right: Any) -> tuple[bytes, set[int]] | None:
    """A secret that is right, and the points whose shares are not on its polynomial; None if no choice of shares that
    was tried gives one."""
    for chosen in itertools.islice(itertools.combinations(parts, threshold), MOST_TRIES):
        secret = shamir.secret({x: parts[x] for x in chosen})
        if secret < 256**KEY and is_right(secret.to_bytes(KEY, "big")):
            wrong = {x for x in parts if x not in chosen and not _fits(parts, chosen, x)}
            return secret.to_bytes(KEY, "big"), wrong
    return None


def _half(text: bytes | None, of_b: bool) -> bytes:
    if text is None:
        return MISSING
    return text[shamir.SIZE :] if of_b else text[: shamir.SIZE]


def _fits(parts: dict[int, int], chosen: tuple[int, ...], point: int) -> bool:
    """Whether a share is on the polynomial through the chosen ones."""
    others = {x: parts[x] for x in (*chosen[1:], point)}
    return shamir.secret(others) == shamir.secret({x: parts[x] for x in chosen})


def _point(client: int) -> int:
    """Where a client's share is; the secret is at 0."""
    return client + 1


def _nonce(sender: int, receiver: int) -> bytes:
    """Of the two boxes under the key that two clients have in one round."""
    return sender.to_bytes(6, "big") + receiver.to_bytes(6, "big")


def _facts(round: Round, sender: int, receiver: int) -> bytes:
    return f"round {round.number}, from {sender} to {receiver}".encode()


def _share_bytes(share: int) -> bytes:
    return share.to_bytes(shamir.SIZE, "big")


def _rows(texts: list[bytes]) -> Tensor:
    """Texts of one length as uint8 (len(texts), length)."""
    return torch.frombuffer(bytearray(b"".join(texts)), dtype=torch.uint8).reshape(len(texts), -1)


def _bytes(rows: Tensor) -> list[bytes]:
    """The bytes of each row."""
    return [row.tobytes() for row in rows.cpu().contiguous().numpy()]


def _repeated(tensor: Tensor, k: int) -> Tensor:
    return tensor.expand(k, *tensor.shape)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
