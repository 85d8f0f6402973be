"""What travels is tapped: it shows neither the numbers of a message nor their top bits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.messages.reductions import Ckks, Paillier, Protocol, SecureSum
from fedlit.messages.secure import shamir
from fedlit.messages.secure.agreement import mask, public_key
from fedlit.messages.secure.fixed_point import FixedPoint
from fedlit.messages.secure.keys import key_bytes
from fedlit.messages.secure.masked_sum import common_keys, for_masks
from fedlit.round import Round
from tests.messages.secure.rounds import play

N, SIZE = 6, 6000


def wire() -> dict[str, torch.Tensor]:
    """Entries that all have the same sign and the same exponent in one client, the other sign in the next one."""
    signs = torch.tensor([1.0, -1, 1, -1, 1, -1])[:, None]
    spread = torch.rand(N, SIZE, generator=torch.Generator().manual_seed(0))
    return {"delta.weights": signs * (0.5 + spread / 4)}


def made(reduction: Protocol) -> Protocol:
    reduction.setup(None, N)  # type: ignore[arg-type]
    return reduction


def tapped(reduction: Protocol) -> tuple[Any, Iterator[tuple[int, str, bytes]]]:
    """Everything that clients send and receive: the client, the name of the part, its bytes."""
    played = play(made(reduction), wire(), [3, 60, 1, 17, 8, 25], {3: [5]} if reduction.trips == 4 else None)
    parts = [
        (client, key, row.contiguous().numpy().tobytes())
        for way in (played.sent, played.received)
        for by_client in way.values()
        for client, message in by_client.items()
        for key, value in message.items()
        for row in (value if isinstance(value, list) else [value])
    ]
    return played, iter(parts)


@pytest.mark.parametrize(
    "reduction",
    [
        lambda: SecureSum(most_examples=60, precision=1.0),
        lambda: SecureSum(most_examples=60, precision=1.0, bits=64),
        lambda: Ckks(most_examples=60),
        pytest.param(lambda: Paillier(most_examples=60), marks=pytest.mark.slow),
    ],
    ids=["secure", "secure, 64 bits", "ckks", "paillier"],
)
def test_no_number_of_a_message_is_on_the_wire(reduction: Any) -> None:
    message, counts = wire()["delta.weights"], [3, 60, 1, 17, 8, 25]
    patterns = set()
    for row, count in zip(message[:, :50].double(), counts, strict=True):
        for number in row.tolist():
            for step in (1.0, 2.0**-16, 2.0**-20, 2.0**-30):
                for kind in (np.float32, np.float64):
                    patterns |= {kind(number / step).tobytes(), kind(number * count / step).tobytes()}
                whole = round(number / step) * count
                if abs(whole) > 2**20:
                    patterns |= {np.int64(whole).tobytes(), np.int32(whole & 0x7FFFFFFF).tobytes()}
    patterns -= {bytes(4), bytes(8)}
    _, parts = tapped(reduction())
    for client, key, text in parts:
        if key in ("sums", "size"):  # what all may know: the sum
            continue
        seen = [pattern for pattern in patterns if len(pattern) == 8 and pattern in text]
        assert not seen, (client, key)
        if len(text) < 2**16:
            seen = [pattern for pattern in patterns if pattern in text]
            assert len(seen) < 5, (client, key)  # of thousands of patterns, one is in a random text by chance; not five


def is_uniform(tops: np.ndarray) -> bool:
    """Whether each of 16 values comes as often as the others: chi-squared with 15 degrees of freedom, which is above 80
    by chance with a probability of 7e-11."""
    expected = len(tops) / 16
    return bool(((np.bincount(tops.astype(int), minlength=16) - expected) ** 2 / expected).sum() < 80)


@pytest.mark.parametrize("bits", [32, 64])
def test_the_top_bits_of_masked_words_are_uniform_whatever_the_message(bits: int) -> None:
    """The words of client 0 are all positive and alike, those of client 1 negative: under the mask each of 16 top
    patterns comes as often as the others, and the signs of the two say nothing of each other."""
    played, _ = tapped(SecureSum(most_examples=60, precision=1.0, bits=bits))
    tops = {}
    for client in (0, 1):
        words = played.sent[3][client]["masked"][0, :SIZE].numpy().view(f"uint{bits}")
        tops[client] = words >> np.array(bits - 4, words.dtype)
        assert is_uniform(tops[client])
    agree = (tops[0] == tops[1]).mean()
    assert abs(agree - 1 / 16) < 0.02  # 6.4 standard deviations: by chance with a probability of 2e-10
    plain = FixedPoint.finest(bits, 8.0, 360).integers(wire()["delta.weights"][0].double().numpy())
    assert len(np.unique(plain >> (bits - 6))) == 1, "without a mask they are the same"


def test_a_message_that_comes_late_stays_hidden() -> None:
    """The server has asked for the client's private key, because its message was missing. When the message comes after
    all, the masks that it has in common with others can be subtracted; that of b stays on it, and nobody opens b."""

    class Late(SecureSum):
        def add_hidden(self, clients: list[int], wire: Any) -> None:
            if clients != [5] or "masked" not in wire:
                super().add_hidden(clients, wire)

    reduction = Late(most_examples=60, precision=1.0, threshold=0.5, insecure_keys="seed")
    played = play(reduction, wire(), [3, 60, 1, 17, 8, 25])
    assert sorted(played.sent[4]) == [0, 1, 2, 3, 4] and played.reduced.message
    points = {client + 1: sent["shares"][0, 5].numpy().tobytes() for client, sent in played.sent[4].items()}
    private = shamir.secret({x: int.from_bytes(text, "big") for x, text in points.items()}).to_bytes(32, "big")
    public = {client: for_masks(played.sent[1][client]["public"][0].numpy().tobytes()) for client in range(6)}
    words = played.sent[3][5]["masked"][0].numpy().view("uint32").copy()
    for other, key in common_keys(5, private, public, "mask").items():
        words -= mask(key, len(words), words.dtype) if other > 5 else -mask(key, len(words), words.dtype)
    assert is_uniform(words[:SIZE] >> 28)
    round = Round(number=1, seed=0, cohort=list(range(6)), clients=100)
    b = key_bytes("seed", round, 5, "secrets")(96)[64:]
    opened = (words - mask(b, len(words), words.dtype))[:SIZE].view("int32")
    assert (opened < 0).all(), "with b it would be the message, whose entries are all negative"


def test_masks_are_new_in_each_round() -> None:
    first, second = (tapped(SecureSum(most_examples=60, precision=1.0))[0] for _ in range(2))
    for trip, key in ((1, "public"), (2, "boxes"), (3, "masked")):
        assert not torch.equal(first.sent[trip][0][key], second.sent[trip][0][key])


def test_a_client_opens_one_share_of_each_client_and_no_more() -> None:
    """Of b where the message came, of the private key where it is missing: who has t of each knows one of the two."""
    reduction = SecureSum(most_examples=60, precision=1.0, threshold=0.5)
    played = play(reduction, wire(), [3, 60, 1, 17, 8, 25], {3: [2, 5]})
    assert sorted(played.sent[4]) == [0, 1, 3, 4]
    assert all(sent["shares"].shape == (1, 6, shamir.SIZE) for sent in played.sent[4].values())
    for about in range(6):
        points = {client + 1: sent["shares"][0, about].numpy().tobytes() for client, sent in played.sent[4].items()}
        value = shamir.secret({x: int.from_bytes(text, "big") for x, text in points.items()})
        secret, sent = value.to_bytes(32, "big"), played.sent[1][about]
        is_b = hashlib.sha256(secret).digest() == sent["commitment"][0].numpy().tobytes()
        is_private = public_key(secret) == sent["public"][0, 32:].numpy().tobytes()
        assert (is_b, is_private) == ((False, True) if about in (2, 5) else (True, False))
