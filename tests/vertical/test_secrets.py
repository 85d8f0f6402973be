"""A run under Paillier by the words of the command: what it writes and sends holds no prime of its keys."""

from __future__ import annotations

import pytest

from fedlit import simulate
from fedlit.messages.secure.paillier import PrivateKey
from fedlit.vertical.mail import Mail

PROTOCOLS = {
    "linear_he": ["protocol=linear_he"],
    "logistic_he": ["protocol=logistic_he", "columns.parties={guest: rest, host: worst_area}"],
    "secureboost": ["protocol=secureboost", "data=breast_cancer", "protocol.depth=2"],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_neither_prime_is_in_a_file_or_a_message(protocol, tmp_path, monkeypatch):
    keys, letters = recorded(monkeypatch)
    words = [*PROTOCOLS[protocol], "cipher.bits=1024", "rounds=1", "checkpoint.every=0", "progress=plain"]
    simulate(*words, f"hydra.run.dir={tmp_path / 'run'}")
    assert len(keys) == 1
    files = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    names = {path.name for path in (tmp_path / "run").rglob("*")}
    assert {"party_guest.pt", "messages.jsonl", "run.log", "config.yaml"} <= names
    assert any(occurs(keys[0].public.n, letter) for letter in letters), "the search would find a number"
    for prime in (keys[0].p, keys[0].q):
        assert not any(occurs(prime, content) for content in [*files, *letters])


def recorded(monkeypatch) -> tuple[list[PrivateKey], list[bytes]]:
    """The keys and the messages of runs from now on."""
    keys, letters, generate, post = [], [], PrivateKey.generate, Mail.post

    def generated(bits):
        keys.append(generate(bits))
        return keys[-1]

    def posted(mail, letter):
        letters.append(bytes(letter.content))
        return post(mail, letter)

    monkeypatch.setattr(PrivateKey, "generate", generated)
    monkeypatch.setattr(Mail, "post", posted)
    return keys, letters


def occurs(number, content: bytes) -> bool:
    """As bytes, in decimal or in hexadecimal digits."""
    number = int(number)
    size = (number.bit_length() + 7) // 8
    binary = (number.to_bytes(size, "big"), number.to_bytes(size, "little"))
    texts = (str(number).encode(), f"{number:x}".encode(), f"{number:X}".encode())
    return any(pattern in content for pattern in (*binary, *texts))
