"""What travels is tapped: it shows neither the numbers of a message nor their top bits."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.messages.reductions import Ckks, Paillier, Protocol, SecureSum
from fedlit.messages.secure import masked_sum, masking_clients, shamir
from fedlit.messages.secure.agreement import mask, public_key, unsealed
from fedlit.messages.secure.fixed_point import FixedPoint
from fedlit.messages.secure.keys import key_bytes
from fedlit.messages.secure.masked_sum import common_keys, facts, for_boxes, for_masks, nonce
from fedlit.round import Round
from tests.messages.secure.rounds import play

N, SIZE = 6, 6000
COUNTS = [3, 60, 1, 17, 8, 25]


def wire(size: int = SIZE) -> dict[str, torch.Tensor]:
    """Entries that all have the same sign and the same exponent in one client, the other sign in the next one."""
    signs = torch.tensor([1.0, -1, 1, -1, 1, -1])[:, None]
    spread = torch.rand(N, size, generator=torch.Generator().manual_seed(0))
    return {"delta.weights": signs * (0.5 + spread / 4)}


def tapped(reduction: Protocol, size: int = SIZE) -> tuple[Any, list[tuple[int, str, bytes]]]:
    """Everything that clients send and receive: the client, the name of the part, its bytes."""
    reduction.setup(None, N)  # type: ignore[arg-type]
    played = play(reduction, wire(size), COUNTS, {3: [5]} if reduction.trips == 4 else None)
    parts = [
        (client, key, row.contiguous().numpy().tobytes())
        for way in (played.sent, played.received)
        for by_client in way.values()
        for client, message in by_client.items()
        for key, value in message.items()
        for row in (value if isinstance(value, list) else [value])
    ]
    return played, parts


def pieces(texts: list[bytes], length: int) -> set[bytes]:
    return {text[at : at + length] for text in texts for at in range(len(text) - length + 1)}


RINGS = {bits: FixedPoint.finest(bits, 8.0, N * 60) for bits in (32, 64)}


def patterns() -> set[bytes]:
    """How the first numbers of the messages may look, weighed or not: floating-point, or whole in some unit."""
    seen = set()
    for row, count in zip(wire(50)["delta.weights"].double().tolist(), COUNTS, strict=True):
        for number in row:
            for step in (1.0, 2.0**-30, *(ring.step for ring in RINGS.values())):
                for kind in (np.float32, np.float64):
                    seen |= {kind(number / step).tobytes(), kind(number * count / step).tobytes()}
                for whole in (round(number / step), round(number / step) * count):
                    if 2**16 < abs(whole) < 2**63:
                        seen |= {np.int64(whole).tobytes(), np.uint32(whole % 2**32).tobytes()}
    return seen


HIDDEN = {
    "secure": lambda: SecureSum(most_examples=60, precision=1.0),
    "secure, 64 bits": lambda: SecureSum(most_examples=60, precision=1.0, bits=64),
    "ckks": lambda: Ckks(most_examples=60),
    "paillier": lambda: Paillier(most_examples=60),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_no_number_of_a_message_is_on_the_wire(name: str) -> None:
    known = ("sums", "size", "clients")  # what all may know: the sum, and who took part
    texts = [text for _, key, text in tapped(HIDDEN[name](), 50)[1] if key not in known]
    assert sum(map(len, texts)) > N * 4 * 50
    # among half a million random pieces is one of 3,900 patterns of eight bytes with a probability of 1e-10, and are 20
    # of the 3,400 of four bytes with one of 1e-21
    assert not pieces(texts, 8) & patterns()
    assert len(pieces(texts, 4) & patterns()) < 20


@pytest.mark.parametrize("bits", [32, 64])
def test_the_numbers_would_be_seen_without_masks(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (masking_clients, masked_sum):
        monkeypatch.setattr(module, "mask", lambda key, size, dtype: np.zeros(size, dtype))
    texts = [text for _, _, text in tapped(HIDDEN["secure" if bits == 32 else "secure, 64 bits"](), 50)[1]]
    assert len(pieces(texts, bits // 8) & patterns()) >= 5 * 50  # client 5 sends no masked message


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
    plain = RINGS[bits].integers(wire()["delta.weights"][0].double().numpy())
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


@pytest.mark.parametrize("helpers", [[], [4], [4, 5], [3, 4, 5]], ids=len)
def test_the_server_reads_a_message_with_t_clients_on_its_side_and_no_fewer(helpers: list[int]) -> None:
    """The server knows b of client 0, because its message came. Clients on its side tell their keys and the shares that
    they received. Three shares give the private key of client 0, and with it all its masks."""
    reduction = SecureSum(most_examples=60, precision=1.0, threshold=0.5, insecure_keys="seed")
    played, round = play(reduction, wire(), COUNTS), Round(number=1, seed=0, cohort=list(range(N)), clients=100)
    secrets = {client: key_bytes("seed", round, client, "secrets")(96) for client in [0, *helpers]}
    public = {client: played.sent[1][client]["public"][0].numpy().tobytes() for client in range(N)}
    words = played.sent[3][0]["masked"][0].numpy().view("uint32").copy()
    words -= mask(secrets[0][64:], len(words), words.dtype)
    of_masks = {client: for_masks(key) for client, key in public.items()}
    parts: dict[int, int] = {}
    for client in helpers:
        box = played.received[3][client]["boxes"][0, 0].numpy().tobytes()  # that of client 0 is the first
        key = common_keys(client, for_boxes(secrets[client]), {0: for_boxes(public[0])}, "shares")[0]
        text = unsealed(key, nonce(0, client), box, facts(round, 0, client))
        assert text is not None
        parts[client + 1] = int.from_bytes(text[: shamir.SIZE], "big")
        words -= mask(common_keys(client, secrets[client][32:64], of_masks, "mask")[0], len(words), words.dtype)
    private = shamir.secret(parts) if parts else 0
    assert (private == int.from_bytes(secrets[0][32:64], "big")) == (len(helpers) == 3)
    if len(helpers) < 3:
        assert is_uniform(words[:SIZE] >> 28)
        return
    for other, key in common_keys(0, secrets[0][32:64], of_masks, "mask").items():
        words -= mask(key, len(words), words.dtype) * np.uint32(other not in helpers)
    plain = RINGS[32].integers(wire()["delta.weights"][0].double().numpy()) * COUNTS[0]
    assert np.array_equal(words[:SIZE].view("int32"), plain)


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
