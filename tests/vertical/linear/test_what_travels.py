"""What a linear protocol lets a listener read: public keys, masked gradients, partial scores; all else is sealed."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from fedlit.vertical import wire
from fedlit.vertical.ciphers import Ckks, Plain
from fedlit.vertical.ciphers.paillier import PaillierOwner
from fedlit.vertical.linear import LinearHe
from fedlit.vertical.linear.whole_vectors import WholeVectorsOwner
from fedlit.vertical.party import Sealed
from tests.vertical.linear.descents import CIPHERS, diabetes
from tests.vertical.stepping import Stepped, parts

HOSTS = [("left", 0, 2), ("right", 2, 5)]
PAILLIER = CIPHERS["paillier"]


def after(rounds: int, cipher: str = "paillier", hosts: int = 1, rows: int = 25) -> Stepped:
    data = diabetes(*(HOSTS if hosts == 2 else [("host", 0, 5)]), rows=rows)
    stepped = Stepped(LinearHe(), CIPHERS[cipher], data)
    stepped.rounds(rounds)
    return stepped


def owner(stepped: Stepped) -> PaillierOwner:
    vectors = cast(WholeVectorsOwner, stepped.party("coordinator").vectors)
    return cast(PaillierOwner, vectors.key)


@pytest.mark.parametrize("cipher", ["plain", "paillier", "ckks"])
@pytest.mark.parametrize("hosts", [1, 2])
def test_all_that_is_not_declared_is_sealed(cipher: str, hosts: int) -> None:
    stepped = after(1, cipher, hosts)
    stepped.predict()
    clear = {name for name, part in parts(stepped.letters) if not isinstance(part, Sealed)} - {"rows.counts"}
    sealed = {name for name, part in parts(stepped.letters)} - clear - {"rows.counts"}
    expected = {"scores.values", "residuals.values", "masked_gradient.values"}
    expected |= {"scores.loss", "loss.value"} if hosts == 1 else set()
    if cipher == "plain":
        assert clear == set(LinearHe.clear) | expected
    else:
        assert clear == set(LinearHe.clear) and sealed == expected


@pytest.mark.parametrize("cipher", ["paillier", "ckks"])
def test_a_listener_finds_no_number_of_a_column_target_or_score(cipher: str) -> None:
    stepped = after(2, cipher)
    sent = b"".join(letter.content for letter in stepped.letters if letter.name != "rows")
    for name, data in stepped.data.items():
        party = stepped.party(name)
        score = party.train @ stepped.state(name)["weights"].numpy()
        arrays = [data.train, party.train, score, party.targets if name == "guest" else score]
        for number in np.unique(np.concatenate([cast(np.ndarray, array).ravel() for array in arrays])):
            if number % 1:  # bytes of a small whole number are mostly 0, as are those of other things
                assert not any(pattern in sent for pattern in patterns(number))


def patterns(number: float) -> list[bytes]:
    """The number as bytes, of a float and of 40 fractional bits."""
    real, whole = np.float64(number).tobytes(), int(np.rint(number * 2**40))
    return [real, real[::-1], whole.to_bytes(9, "big", signed=True), whole.to_bytes(9, "little", signed=True)]


def test_under_plain_the_same_search_finds_the_scores() -> None:
    """So the search of the test above can find something."""
    stepped = Stepped(LinearHe(), Plain(bits=512), diabetes(("host", 0, 5), rows=25))
    stepped.rounds(1)
    score = stepped.party("host").train @ stepped.state("host")["weights"].numpy()
    stepped.letters.clear()
    stepped.round()
    sent = b"".join(letter.content for letter in stepped.letters)
    assert all(any(pattern in sent for pattern in patterns(number)) for number in score)


def test_the_key_opens_the_scores_and_another_key_does_not() -> None:
    stepped = after(1)
    scores = stepped.party("host").train @ stepped.state("host")["weights"].numpy()
    stepped.letters.clear()
    stepped.round()
    part = next(part for name, part in parts(stepped.letters) if name == "scores.values")
    expected = [int(number) for number in np.rint(scores * 2**40)]
    key, other = owner(stepped), cast(Any, PAILLIER).generate()
    assert key.decrypt_all(key.opened(part)) == expected
    assert not set(other.decrypt_all(other.opened(part))) & set(expected)


def test_ckks_opens_with_its_key_only() -> None:
    key, other = Ckks().generate(), Ckks().generate()
    public = Ckks().public(key.message())
    values = np.linspace(-3, 3, 5000)
    part = public.seal(public.encrypt(values))
    assert np.abs(key.decrypt(key.opened(part))[:5000] - values).max() < 1e-6
    assert np.abs(other.decrypt(other.opened(part))[:5000] - values).max() > 1e6
    assert not public.context.is_private()
    with pytest.raises(ValueError, match="secret_key"):
        public.opened(part)[0].decrypt()


@pytest.mark.parametrize("cipher", ["paillier", "ckks"])
def test_a_repeated_round_sends_other_ciphertexts(cipher: str) -> None:
    stepped = after(1, cipher)
    blobs: list[bytes] = []
    for _ in range(2):
        stepped.letters.clear()
        stepped.engine.phase("round", 2, stepped.states)
        blobs += [blob for _, part in parts(stepped.letters) if isinstance(part, Sealed) for blob in part.blobs]
    assert len(set(blobs)) == len(blobs) > 10


def test_a_host_cannot_take_its_scores_off_the_residuals() -> None:
    """If the guest multiplied by 1 + e n alone, the quotient of two ciphertexts would show its residuals."""
    stepped = after(1)
    by_name = dict(parts(stepped.letters))
    n = int(owner(stepped).key.n)
    for first, second in zip(
        cast(Sealed, by_name["scores.values"]).blobs, cast(Sealed, by_name["residuals.values"]).blobs, strict=True
    ):
        quotient = int.from_bytes(second, "big") * pow(int.from_bytes(first, "big"), -1, n * n) % (n * n)
        assert quotient % n != 1


def test_the_coordinator_sees_numbers_that_are_uniform_modulo_n() -> None:
    """Masks are new in each round and each repetition, and their party takes them off again."""
    stepped, shares = after(1), []
    for _ in range(12):
        stepped.letters.clear()
        stepped.engine.phase("round", 2, stepped.states)
        opened = [part for name, part in parts(stepped.letters) if name == "opened_gradient.values"]
        for part in opened:
            numbers = [int.from_bytes(row.tobytes(), "big") for row in cast(np.ndarray, part)]
            shares += [number / owner(stepped).modulus for number in numbers]
    assert len(set(shares)) == len(shares) == 12 * 11
    assert np.bincount(np.floor(4 * np.array(shares)).astype(int), minlength=4).min() > 12  # 33 expected
    assert 0.35 < np.mean(shares) < 0.65


def test_neither_prime_is_in_any_message_or_state() -> None:
    stepped = after(2)
    private = owner(stepped).private
    everything = [letter.content for letter in stepped.letters] + list(stepped.states.values())
    for prime in (int(private.p), int(private.q)):
        for order in ("big", "little"):
            pattern = prime.to_bytes(16, order)  # type: ignore[arg-type]
            assert not any(pattern in text or str(prime).encode() in text for text in everything)


def test_bytes_do_not_depend_on_keys() -> None:
    sizes = [
        [(letter.name, len(letter.content)) for letter in after(1, cipher).letters]
        for cipher in ("paillier", "paillier", "ckks", "ckks")
    ]
    assert sizes[0] == sizes[1] and sizes[2] == sizes[3]


def test_a_message_of_a_round_has_the_parts_of_the_docs() -> None:
    stepped = after(1)
    first = next(letter for letter in stepped.letters if letter.name == "scores")
    assert {fact.name: fact.shape for fact in wire.facts(first.content)} == {"values": (25,), "loss": (1,)}
